"""The network of a run folder, run by PyTorch."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from model.evaluate import score, score_and_embed
from model.material import read_split
from model.parallel import choose_device
from model.ready import Ready
from model.run_folder import Run, load_run
from model.threads import cores


def open_run(folder: Path, *, device: str, threads: int | None) -> Ready:
    """The finished training in `folder`. InputError for a wrong or damaged one."""
    run = load_run(folder)
    seen = read_split(folder, run.config)
    torch.set_num_threads(threads or cores())
    return ready(run, seen=seen, device=choose_device(device))


def ready(run: Run, *, seen: pd.DataFrame, device: torch.device) -> Ready:
    """`run`, put on `device`; `seen` is its `split.csv`."""
    config = run.config
    network = run.network.to(device).to(memory_format=torch.channels_last)
    mean = torch.tensor(config["mean"], device=device)
    std = torch.tensor(config["std"], device=device)

    how: dict[str, Any] = {
        "mean": mean,
        "std": std,
        "device": device,
        "precision": config["precision"],
        "flip": True,
    }
    return Ready(
        config,
        seen,
        partial(score, network, **how),
        partial(score_and_embed, network, **how),
        computes_on=device.type,
    )
