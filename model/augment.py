"""Augmentation of whole batches: one affine map, one light change, one erased box per picture.

Pictures go in as the cache stores them, uint8 [N, H, W, 3], and come out normalised as the
network wants them, float32 [N, 3, S, S] in channels-last memory. One `grid_sample` does flip,
rotation, zoom, shift and the resize to S at once, so that a batch costs a few milliseconds.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name every PyTorch text uses
from torch import Tensor

from model.settings import Augmentation


def to_input(pictures: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> normalised float32 [N, 3, H, W], channels-last, nothing changed.

    `mean` and `std` [3] are in units of the full pixel range (0..1).
    """
    # The permuted view of a [N, H, W, 3] array *is* channels-last memory: no copy is made for it.
    scaled = pictures.permute(0, 3, 1, 2).to(torch.float32)
    return scaled.mul_(_column(1 / (255 * std))).sub_(_column(mean / std))


def augment(
    pictures: Tensor,
    *,
    size: int,
    how: Augmentation,
    mean: Tensor,
    std: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """uint8 [N, H, W, 3] -> augmented, normalised float32 [N, 3, size, size], channels-last.

    All random numbers come from `generator` (on the CPU), in an order that does not depend on
    `how`, so that one change can be measured with the others held still.
    """
    n, device = len(pictures), pictures.device
    draws = torch.rand(n, 16, generator=generator).to(device)
    x = pictures.permute(0, 3, 1, 2).to(torch.float32)
    if how.rotate or how.zoom or how.shift or size != pictures.shape[1]:
        grid = _grid(_affine(draws, how), size=size)
        x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    elif how.flip:
        x = torch.where((draws[:, 0] < how.flip).view(n, 1, 1, 1), x.flip(3), x)
    grey = (draws[:, 6] < how.grey).nonzero()[:, 0]  # only the few that change are touched
    x[grey] = x[grey].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    # Contrast, brightness, tint and normalisation are one multiplication and one addition.
    contrast = torch.exp(how.contrast * (2 * draws[:, 7:8] - 1))  # [N, 1]
    light = how.light * (2 * draws[:, 8:9] - 1) + how.tint * (2 * draws[:, 9:12] - 1)  # [N, 3]
    factor, offset = contrast / (255 * std), (light - contrast * mean) / std
    x = torch.addcmul(offset.view(n, 3, 1, 1), x, factor.view(n, 3, 1, 1))
    erased = (draws[:, 5] < how.erase).nonzero()[:, 0]
    x[erased] = x[erased].masked_fill(_boxes(draws[erased], size=size), 0.0)
    return x.contiguous(memory_format=torch.channels_last)


def _column(values: Tensor) -> Tensor:
    return values.view(1, 3, 1, 1)


def _affine(draws: Tensor, how: Augmentation) -> Tensor:
    """[N, 2, 3]: where each output point looks in the input, in units of half a side."""
    mirror = torch.where(draws[:, 0] < how.flip, -1.0, 1.0)
    angle = math.radians(how.rotate) * (2 * draws[:, 1] - 1)
    scale = torch.exp(how.zoom * (2 * draws[:, 2] - 1))
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    across, down = (2 * how.shift * (2 * draws[:, k] - 1) for k in (3, 4))
    rows = (torch.stack([mirror * cos, -sin, across], 1), torch.stack([mirror * sin, cos, down], 1))
    return torch.stack(rows, 1)


def _grid(affine: Tensor, *, size: int) -> Tensor:
    """[N, size, size, 2], as `F.affine_grid`, by one broadcast addition instead of a product."""
    place = (torch.arange(size, device=affine.device) + 0.5) * (2 / size) - 1
    across = place.view(1, 1, size, 1) * affine[:, None, None, :, 0]
    down = place.view(1, size, 1, 1) * affine[:, None, None, :, 1] + affine[:, None, None, :, 2]
    return across + down


def _boxes(draws: Tensor, *, size: int) -> Tensor:
    """[N, 1, size, size]: True inside a box of 10–40 % of the side."""
    place = torch.arange(size, device=draws.device).view(1, size) / size
    height, width = (0.1 + 0.3 * draws[:, k : k + 1] for k in (12, 13))
    top, left = draws[:, 14:15] * (1 - height), draws[:, 15:16] * (1 - width)
    rows = (place >= top) & (place < top + height)
    columns = (place >= left) & (place < left + width)
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
