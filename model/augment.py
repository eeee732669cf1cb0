"""Augmentation of whole batches: one affine map, one light change, one erased box per picture.

Pictures go in as the cache stores them, uint8 [N, H, W, 3], and come out normalised as the
network wants them, float32 [N, 3, S, S] in channels-last memory. One `grid_sample` does flip,
rotation, zoom, stretch, shift and the resize to S at once. On the CPU a few pictures at a time are
changed: their numbers stay in the processor's cache, and no fresh memory is asked for, which takes
half the time of a whole batch at once and gives the same bits.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name every PyTorch text uses
from torch import Tensor

from model.settings import Augmentation

AT_ONCE = 2**17  # pixels changed at a time on the CPU: 1.5 MB of float32 colours


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
    drawn = [torch.rand(n, numbers, generator=generator) for numbers in (16, 1)]  # 1 came later
    draws = torch.cat(drawn, 1)
    # Contrast, brightness, tint and normalisation are one multiplication and one addition.
    seen = draws.to(device)
    contrast = torch.exp(how.contrast * (2 * seen[:, 7:8] - 1))  # [N, 1]
    light = how.light * (2 * seen[:, 8:9] - 1) + how.tint * (2 * seen[:, 9:12] - 1)  # [N, 3]
    factor, offset = contrast / (255 * std), (light - contrast * mean) / std
    affine = _affine(seen, how)
    out = torch.empty(
        (n, 3, size, size), device=device, memory_format=torch.channels_last, dtype=torch.float32
    )
    several = max(1, AT_ONCE // size**2) if device.type == "cpu" else n
    for start in range(0, n, several):
        part = slice(start, start + several)
        x = pictures[part].permute(0, 3, 1, 2).to(torch.float32)
        if how.rotate or how.zoom or how.stretch or how.shift or size != pictures.shape[1]:
            grid = _grid(affine[part], size=size)
            x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
        elif how.flip:
            x = torch.where((seen[part, 0] < how.flip).view(-1, 1, 1, 1), x.flip(3), x)
        for one in _chosen(draws[part, 6], how.grey):  # only the few that change are touched
            x[one] = x[one].mean(0, keepdim=True)
        torch.addcmul(offset[part, :, None, None], x, factor[part, :, None, None], out=x)
        out[part].copy_(x)
    for one in _chosen(draws[:, 5], how.erase):
        top, bottom, left, right = _box(draws[one], size=size)
        out[one, :, top:bottom, left:right] = 0.0
    return out


def _chosen(draws: Tensor, share: float) -> list[int]:
    """Which pictures a change falls on that touches `share` of them."""
    chosen: list[int] = (draws < share).nonzero()[:, 0].tolist()
    return chosen


def _column(values: Tensor) -> Tensor:
    return values.view(1, 3, 1, 1)


def _affine(draws: Tensor, how: Augmentation) -> Tensor:
    """[N, 2, 3]: where each output point looks in the input, in units of half a side."""
    mirror = torch.where(draws[:, 0] < how.flip, -1.0, 1.0)
    angle = math.radians(how.rotate) * (2 * draws[:, 1] - 1)
    scale = torch.exp(how.zoom * (2 * draws[:, 2] - 1))
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    across, down = (2 * how.shift * (2 * draws[:, k] - 1) for k in (3, 4))
    wide = torch.exp(0.5 * how.stretch * (2 * draws[:, 16] - 1))
    first = torch.stack([mirror * cos * wide, -sin / wide, across], 1)
    second = torch.stack([mirror * sin * wide, cos / wide, down], 1)
    return torch.stack([first, second], 1)


def _grid(affine: Tensor, *, size: int) -> Tensor:
    """[N, size, size, 2], as `F.affine_grid`, by one broadcast addition instead of a product.

    In memory it is [N, 2, size, size]: its additions and `grid_sample` then run along rows.
    """
    place = (torch.arange(size, device=affine.device) + 0.5) * (2 / size) - 1
    across = place.view(1, 1, 1, size) * affine[:, :, 0, None, None]
    down = place.view(1, 1, size, 1) * affine[:, :, 1, None, None] + affine[:, :, 2, None, None]
    return (across + down).permute(0, 2, 3, 1)


def _box(draws: Tensor, *, size: int) -> list[int]:
    """Rows from, to, columns from, to of a box of 10–40 % of the side, by one picture's draws."""
    height, width = 0.1 + 0.3 * draws[12], 0.1 + 0.3 * draws[13]
    top, left = draws[14] * (1 - height), draws[15] * (1 - width)
    edges = torch.stack([top, top + height, left, left + width])
    box: list[int] = torch.ceil(edges * size).int().tolist()
    return box
