"""The end of a training: the reading chosen on validation, the test part measured once."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor, nn

from model.decode import Floats, choose_rule
from model.evaluate import measure, score_rows
from model.material import Material, split_counts, split_id
from model.network import YEARS, build_network, count_parameters
from model.pictures import DECODE_RULE
from model.run_folder import save_model
from model.settings import TrainSettings
from model.state import State

PACKAGES = ("faceaudit", "torch", "torchvision", "numpy", "pillow", "safetensors")


def finish(
    material: Material,
    state: State,
    *,
    settings: TrainSettings,
    out: Path,
    mean: Tensor,
    std: Tensor,
) -> None:
    """Write `model.safetensors` and `config.json` of the best weights into `out`.

    mean, std: by which pixels are normalised [3], on the device that reads.
    """
    network = build_network(settings.network, size=settings.size, width=settings.width)
    network.load_state_dict(state.best)
    network = network.eval().to(mean.device).to(memory_format=torch.channels_last)
    scores = _scored(network, material, mean=mean, std=std, precision=state.precision)
    rule = choose_rule(scores["valid"][0], material.age[material.rows["valid"]])
    metrics = {
        name: measure(
            *scores[name],
            rule=rule,
            age_true=material.age[material.rows[name]],
            female=material.female[material.rows[name]],
        )
        for name in scores
    }
    config = {
        "network": settings.network,
        "width": settings.width,
        "parameters": count_parameters(network),
        "size": settings.size,
        "mean": mean.tolist(),
        "std": std.tolist(),
        "picture": DECODE_RULE,
        "precision": state.precision,
        "outputs": {
            "age": f"softmax over the years 0..{YEARS - 1}" if rule["age"] != "value" else "years",
            "gender": "logit of P(female)",
        },
        "decode": rule,
        "flip_averaged": True,
        "metrics": metrics,
        "chosen_on_valid": ["best epoch", "decode.age", "decode.interval.correction"],
        "best_epoch": state.best_epoch,
        "epochs": state.epoch,
        "seconds": state.seconds,
        "split": {
            "id": split_id((out / "split.csv").read_bytes()),
            "faces": material.digest,
            **split_counts(material.rows),
        },
        "seed": settings.seed,
        "threads": state.threads,
        "settings": settings.to_dict(),
        "packages": {name: _version(name) for name in PACKAGES},
        "run_id": _run_id(state.best),
    }
    save_model(out, state.best, config)


def _scored(
    network: nn.Module, material: Material, *, mean: Tensor, std: Tensor, precision: str
) -> dict[str, tuple[Floats, Floats]]:
    """What the network says of the faces of validation and test, in their pixels and mirrored."""
    return {
        name: score_rows(
            network,
            material.pictures,
            material.rows[name],
            batch=256,
            mean=mean,
            std=std,
            device=mean.device,
            precision=precision,
            flip=True,
        )
        for name in ("valid", "test")
    }


def _run_id(weights: dict[str, Tensor]) -> str:
    """Twelve hexadecimal digits that name the weights."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
