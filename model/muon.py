"""Muon: the kernels of a network learn by orthogonal steps, everything else by AdamW.

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". The momentum of a
kernel, read as a matrix [outputs, inputs × places], is brought near the closest matrix whose
singular values are all 1: rare directions of a gradient are learned as fast as common ones.
"""

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
STEPS = 5  # of the iteration: singular values end within about 0.7 to 1.2
QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.AdamW):
    """AdamW whose groups marked `muon` take orthogonal steps."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; the gradients of the kernels are used up by it."""
        for group in self.param_groups:
            for kernel in group["params"] if group.get("muon") else ():
                if kernel.grad is not None:
                    self._turn(kernel, rate=group["lr"], weight_decay=group["weight_decay"])
                    kernel.grad = None  # AdamW passes it over
        super().step(closure)

    def _turn(self, kernel: Tensor, *, rate: float, weight_decay: float) -> None:
        gradient = kernel.grad
        assert gradient is not None
        state = self.state[kernel]
        if not state:  # AdamW asks every state that it loads for its step
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(kernel))
        momentum: Tensor = state["momentum"]
        momentum.lerp_(gradient, 1 - MOMENTUM)
        step = orthogonal(gradient.lerp(momentum, MOMENTUM).flatten(1))  # Nesterov's
        taller = max(1.0, step.shape[0] / step.shape[1]) ** 0.5
        kernel.mul_(1 - rate * weight_decay).add_(step.view_as(kernel), alpha=-rate * taller)


def learns_by_muon(parameter: nn.Parameter) -> bool:
    """Whether it is a kernel of a hidden convolution: no first layer, none of one channel each."""
    return parameter.ndim == 4 and parameter.shape[1] > 3


def orthogonal(matrix: Tensor) -> Tensor:
    """Near the matrix [R, C] of the same singular vectors whose singular values are all 1.

    Newton–Schulz with a quintic. Every factor is a polynomial of x xᵀ, so that the iteration runs
    on that small square and x is multiplied once: a third of the arithmetic.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    a, b, c = QUINTIC
    square = x @ x.T
    eye = torch.eye(len(square), dtype=x.dtype, device=x.device)
    whole = factor = torch.addmm(a * eye + b * square, square, square, alpha=c)
    for _ in range(STEPS - 1):
        square = factor @ square @ factor
        factor = torch.addmm(a * eye + b * square, square, square, alpha=c)
        whole = factor @ whole
    turned: Tensor = whole @ x
    return turned if wide else turned.T
