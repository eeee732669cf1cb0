"""A run folder: its lock, its checkpoint, and the finished model that it holds in the end.

`settings.json` what was asked for · `split.csv` who is train, valid, test · `history.csv` a row per
epoch · `checkpoint.pt` where to go on · `model.safetensors` and `config.json` the finished model ·
`recalibration.json` a map of its predictions, where `faceaudit recalibrate --run` left one.
"""

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from audit.errors import InputError
from audit.file_lock import locked_file
from audit.files import left_halves, read_json, write_atomic, write_text
from model.network import build_network, load_weights, read_weights
from model.settings import NETWORKS

FORMAT = 1  # of checkpoint.pt and config.json
OURS = {  # what a training leaves in its folder
    "settings.json", "split.csv", "history.csv", "checkpoint.pt", "model.safetensors",
    "config.json", "train.lock", "cache", "tensorboard", "learning_curves.svg", "left_out.csv",
    "recalibration.json",
}  # fmt: skip


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder/train.lock`: a second training in the same folder is refused by name.

    The operating system holds the lock for the process, so that a killed one leaves none behind.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"--out {folder}: a file stands where a folder is needed") from error
    path = folder / "train.lock"
    with ExitStack() as held:
        try:
            handle = held.enter_context(locked_file(path, wait=False))
        except BlockingIOError as error:
            holder = path.read_text(encoding="utf-8").strip() or "unknown"
            raise InputError(
                f"{folder}: another training (pid {holder}) is at work here; wait for it, stop it, "
                "or choose another --out"
            ) from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EINVAL):
                raise InputError(f"{path}: {error.strerror}; remove it") from error
            raise InputError(
                f"{path} cannot be locked ({error.strerror}); choose an --out on another disk"
            ) from error
        for half in left_halves(folder, OURS):  # of a training killed while it saved
            half.unlink()
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n".encode())
        handle.flush()
        yield
        handle.truncate(0)


def is_used(folder: Path) -> bool:
    """Whether a training has left in `folder` what a fresh one would run over."""
    return any((folder / name).exists() for name in ("checkpoint.pt", "config.json"))


def refuse_used(folder: Path) -> None:
    """Raise InputError when a fresh training would run over files that are there."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if is_used(folder):
        raise InputError(f"{folder} holds a training: go on with --resume, or choose another --out")
    own = OURS | {half.name for half in left_halves(folder, OURS)}
    foreign = [name for name in names if name not in own]
    if foreign:
        raise InputError(
            f"{folder} is not empty ({len(foreign)} entries, first {foreign[0]!r}); "
            "choose another --out"
        )


# The checkpoint ------------------------------------------------------------------------------


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `checkpoint.pt` atomically; `state` is dicts, lists, tensors and plain values."""
    whole = {"format": FORMAT, "state": state, "digest": _digest(state)}
    write_atomic(folder / "checkpoint.pt", lambda beside: _dump(beside, whole))


def _dump(path: Path, whole: dict[str, Any]) -> None:
    """`torch.save`, whose own error hides that of the system: of a full disk it says nothing."""
    try:
        with path.open("wb") as handle:
            torch.save(whole, handle)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU. InputError when it is missing, cut or altered."""
    path = folder / "checkpoint.pt"
    if not path.is_file():
        raise InputError(f"--resume: no checkpoint.pt in {folder}; leave --resume away to start")
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
        state, intact = whole["state"], whole["digest"] == _digest(whole["state"])
    except Exception as error:
        raise InputError(f"{path} is cut or no checkpoint; train anew in another --out") from error
    if whole["format"] != FORMAT or not intact:
        raise InputError(f"{path} was altered since it was written; train anew in another --out")
    loaded: dict[str, Any] = state
    return loaded


def _digest(state: Any) -> str:
    """SHA-256 over names, types and bytes of everything in `state`, whatever the nesting."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            plain = value.detach().cpu().contiguous()
            digest.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
        elif isinstance(value, dict):
            for key, inner in value.items():
                digest.update(f"{key!r}:".encode())
                add(inner)
        elif isinstance(value, list | tuple):
            digest.update(f"{len(value)}[".encode())
            for inner in value:
                add(inner)
        else:
            digest.update(repr(value).encode())

    add(state)
    return digest.hexdigest()


# The finished model --------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A finished training, ready to use: `network` in evaluation mode on the CPU."""

    folder: Path
    config: dict[str, Any]
    network: nn.Module


def save_model(folder: Path, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Write the weights, then `config.json` with their SHA-256: the run counts as finished."""
    path = folder / "model.safetensors"
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_atomic(path, lambda beside: _write(beside, to_bytes(plain)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    whole = {"format": FORMAT, **config, "weights_sha256": digest}
    write_text(folder / "config.json", json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def load_run(folder: Path) -> Run:
    """The finished training in `folder`, its weights checked bit by bit before use.

    Raises InputError: no such folder, no or unfinished training, missing or altered files.
    """
    config = read_config(folder)
    path = folder / "model.safetensors"
    if not path.is_file():
        raise InputError(f"{folder} lacks model.safetensors, the trained weights")
    if hashlib.sha256(path.read_bytes()).hexdigest() != config["weights_sha256"]:
        raise InputError(
            f"{path} is not the file its training wrote (SHA-256 differs): "
            "copy it again or train anew"
        )
    width = config.get("width", 1.0)  # runs of before it have none
    network = build_network(config["network"], size=config["size"], width=width)
    try:
        load_weights(network, read_weights(path), source=str(path))
    except InputError as error:  # whole, as its SHA-256 says, so it was another network's
        raise InputError(
            f"{error}; it was trained by another version of faceaudit: train anew, or use that one"
        ) from error
    return Run(folder, config, network.eval())


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a finished run, with every key that its use needs. Raises InputError."""
    path = folder / "config.json"
    if not path.is_file():
        if (folder / "checkpoint.pt").is_file():
            raise InputError(f"the training in {folder} is not finished: go on with --resume")
        raise InputError(f"{folder} is no run folder (no config.json): `faceaudit train` makes one")
    config = read_json(path, again="copy it again or train anew")
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f"{path}: not a config of format {FORMAT}; train anew")
    needed = (
        *("network", "size", "mean", "std", "decode", "weights_sha256", "precision", "run_id"),
        "split",
    )
    lacking = [key for key in needed if key not in config]
    if lacking:
        raise InputError(f"{path} lacks {', '.join(lacking)}")
    odd = [key for key, holds in _checks(config).items() if not holds]
    if odd:
        raise InputError(
            f"{path}: {', '.join(odd)}: not what a training writes; copy it again or train anew"
        )
    return config


def _checks(config: dict[str, Any]) -> dict[str, bool]:
    """Whether that can be used which a hand may have edited, by key."""
    rule = config["decode"] if isinstance(config["decode"], dict) else {}
    interval = rule.get("interval")
    known = rule.get("age") in ("mean", "median", "value") and isinstance(interval, dict)
    return {
        "network": config["network"] in NETWORKS,
        "size": type(config["size"]) is int and config["size"] > 0,
        "width": _is_number(config.get("width", 1.0)),
        "mean": _three_numbers(config["mean"]),
        "std": _three_numbers(config["std"]) and min(config["std"]) > 0,
        "precision": config["precision"] in ("float32", "bfloat16"),
        "decode": known and "correction" in (interval or {}),
        "run_id": isinstance(config["run_id"], str),
        "split": isinstance(config["split"], dict),
    }


def _three_numbers(value: object) -> bool:
    return (
        isinstance(value, list) and len(value) == 3 and all(_is_number(number) for number in value)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
