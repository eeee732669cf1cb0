"""Which number format and how many threads a training uses: facts of the machine, no timing.

Both change how sums are rounded. Chosen by a timing, as they once were, they differ between two
runs of one command; see docs/decisions/006-no-timing-decides.md.
"""

import torch

from model.settings import TrainSettings

# Seconds of bfloat16 / float32 per step on a Zen 4 core with AVX512-BF16: compact .59, notebook
# .49, resnet18 .53, convnext_tiny .62; mobilenet_v3_large 1.45 and efficientnet_b0 1.40, with
# their many depthwise convolutions.
DEPTHWISE = ("mobilenet_v3_large", "efficientnet_b0")


def choose_pace(
    settings: TrainSettings, *, bfloat16: bool, device: torch.device, cores: int, processes: int
) -> tuple[str, int]:
    """The precision and the number of threads of a training; the settings' own where they say.

    `bfloat16`: whether `device` computes with it (`computes_bfloat16`). `cores` are shared among
    `processes`.
    """
    threads = settings.threads or max(1, cores // processes)
    if settings.precision != "auto":
        return settings.precision, threads
    slow = device.type == "cpu" and settings.network in DEPTHWISE
    return ("bfloat16" if bfloat16 and not slow else "float32"), threads


def busy_words(load: float, *, threads: int, cores: int) -> str | None:
    """What to say on a machine that has `load` processes at work already; None: nothing."""
    if threads == 1 or load < 0.75 * cores:
        return None
    return (
        f"this machine is busy (load {load:.1f} on {cores} cores): threads that wait for each "
        "other can be slower than one; --threads 1 rounds otherwise, and may be faster"
    )


def computes_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 itself; where that is emulated, it is slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
