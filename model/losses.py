"""What training minimises: age as a distribution over years, gender as a probability."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name every PyTorch text uses
from torch import Tensor

GENDER_WEIGHT = 2.0  # its cross-entropy is a tenth of what is said of age
L1_WEIGHT = 0.2  # a year of error of the mean weighs like 0.2 nats of the distribution


def age_targets(age: Tensor, *, years: int = 121) -> Tensor:
    """Gaussian label distributions [N, years] around ages [N] in years.

    σ grows from 1 year at birth by 3 years a century: nobody can tell 60 from 62, anybody tells
    0 from 2, and labels of older faces are rougher. (Label distribution learning: Gao et al. 2018,
    DLDL-v2.)
    """
    place = torch.arange(years, device=age.device, dtype=torch.float32)
    sigma = 1.0 + 0.03 * age
    z = (place - age[:, None]) / sigma[:, None]
    return torch.softmax(-0.5 * z.square(), dim=1)


def two_headed_loss(
    age_out: Tensor, gender_out: Tensor, age: Tensor, gender: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean loss of a batch, and the predicted ages [N] in years (without gradient)."""
    losses, years = face_losses(age_out, gender_out, age, gender)
    return losses.mean(), years


def face_losses(
    age_out: Tensor,
    gender_out: Tensor,
    age: Tensor,
    gender: Tensor,
    *,
    age_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Loss [N] of every face, and the predicted ages [N] in years (without gradient).

    For age logits [N, 121]: KL divergence from the target distribution + L1_WEIGHT × |mean − age|
    + GENDER_WEIGHT × binary cross-entropy of gender. For ages [N] (the notebook's network):
    squared error + 10 × binary cross-entropy, the notebook's weights. `age_weight` [N] multiplies
    what is said of age.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(gender_out.float(), gender, reduction="none")
    if age_out.ndim == 1:
        years = age_out.float()
        of_age, of_gender = F.mse_loss(years, age, reduction="none"), 10 * cross_entropy
    else:
        log_shares = torch.log_softmax(age_out.float(), dim=1)
        divergence = F.kl_div(log_shares, age_targets(age), reduction="none").sum(1)
        years = log_shares.exp() @ torch.arange(
            age_out.shape[1], device=age_out.device, dtype=torch.float32
        )
        of_age = divergence + L1_WEIGHT * (years - age).abs()
        of_gender = GENDER_WEIGHT * cross_entropy
    if age_weight is not None:
        of_age = age_weight * of_age
    return of_age + of_gender, years.detach()
