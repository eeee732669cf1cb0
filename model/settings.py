"""The settings of a training: recipes as data, and the file that keeps them for `--resume`."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from audit.config import MOST_THREADS
from audit.errors import InputError
from audit.files import read_json, write_text

TORCHVISION = ("mobilenet_v3_large", "efficientnet_b0", "resnet18", "convnext_tiny")
NETWORKS = ("compact", "notebook", *TORCHVISION)
PRECISIONS = ("auto", "float32", "bfloat16")
AGE_WEIGHTS = ("equal", "root", "inverse")
DEMO_FACES = 3000
SEVERAL = {"balance", "group_dro"}  # tuples here, lists in JSON


@dataclass(frozen=True)
class Augmentation:
    """How far each change may go; 0 switches it off. Drawn uniformly, anew for each picture."""

    flip: float = 0.5  # share of pictures mirrored
    rotate: float = 10.0  # degrees either way
    zoom: float = 0.12  # natural logarithm of the scale, either way
    shift: float = 0.05  # of the side, either way
    light: float = 0.12  # brightness, of the full range of a pixel, either way
    contrast: float = 0.2  # natural logarithm of the factor, either way
    tint: float = 0.03  # brightness of each colour alone
    grey: float = 0.05  # share of pictures without colour
    erase: float = 0.25  # share of pictures with a grey box of 10–40 % of the side
    stretch: float = 0.0  # natural logarithm of width by height, either way

    def towards(self, other: "Augmentation", share: float) -> "Augmentation":
        """`share` (0..1) of the way from this one to `other`."""
        ends = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Augmentation(*(a + share * (b - a) for a, b in ends))


NO_CHANGE = Augmentation(*(0.0,) * len(dataclasses.fields(Augmentation)))
FLIP_ONLY = dataclasses.replace(NO_CHANGE, flip=0.5)
MILD = Augmentation(
    rotate=8.0, zoom=0.09, shift=0.04, light=0.08, contrast=0.15, tint=0.02, grey=0.03, erase=0.2
)
STRONG = Augmentation(  # what keeps a long training from learning faces by heart at its end
    rotate=15.0,
    zoom=0.15,
    shift=0.06,
    light=0.2,
    contrast=0.3,
    tint=0.06,
    grey=0.1,
    erase=0.5,
    stretch=0.08,
)
GENTLE = Augmentation(  # what a short training has the time to learn from
    rotate=5.0, zoom=0.06, shift=0.03, light=0.05, contrast=0.1, tint=0.01, grey=0.02, erase=0.1
)


@dataclass(frozen=True)
class TrainSettings:
    """Everything a training depends on besides the faces. A wrong value raises InputError.

    network: one of NETWORKS.
    width: channels of the compact network, in units of its smaller version's.
    size: side of the square pictures in pixels, a multiple of 16.
    epochs, batch: how long, and how many faces a step (over all processes).
    learning_rate: the peak of AdamW's warm-up and cosine (the notebook's Adam starts with it).
    weight_decay, clip, average: AdamW's decay of weights (not of biases and norms); the largest
        norm of a gradient; the decay of the running average of weights. Not the notebook's.
    warmup: share of the steps in which the rate rises.
    kernel_rate: how many times the learning rate the kernels of hidden layers learn at, by Muon
        (model/muon.py); 0: by AdamW like everything else.
    dropout, drop_block: share of what the compact network's heads read that is left out; the
        same of its last block for a face, less of those before.
    augment, augment_last: how batches are changed in the first epoch and in the last, in a
        straight line between; None: alike in all.
    test, valid: shares of subjects kept for the last measurement and for choosing.
    precision: `float32`, `bfloat16`, or `auto`: what the machine computes faster (model/pace.py).
    device: `auto`, `cpu`, `cuda`.
    threads: threads on the CPU; None: all cores. Another number rounds sums otherwise.
    pretrained, weights: where a torchvision network starts.
    head_epochs: first epochs in which the heads alone learn.
    body_rate: share of the learning rate at which the body learns.
    balance, group_dro: features whose crossing is drawn equally often, or whose worst group pulls
        hardest; age_weights: `equal`, or how much rarer ages weigh more (model/balance.py).
    dro_rate: how fast the pull of a group grows with its loss.
    """

    network: str = "compact"
    width: float = 1.0
    size: int = 128
    epochs: int = 24
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    clip: float = 5.0
    average: float = 0.998
    warmup: float = 0.05
    kernel_rate: float = 0.0
    dropout: float = 0.2
    drop_block: float = 0.0
    augment: Augmentation = field(default_factory=Augmentation)
    augment_last: Augmentation | None = None
    seed: int = 0
    test: float = 0.2
    valid: float = 0.1
    precision: str = "auto"
    device: str = "auto"
    threads: int | None = None
    pretrained: bool = False
    weights: str | None = None
    head_epochs: int = 0
    body_rate: float = 1.0
    balance: tuple[str, ...] = ()
    age_weights: str = "equal"
    group_dro: tuple[str, ...] = ()
    dro_rate: float = 0.01

    def __post_init__(self) -> None:
        """Refuse what no training could be run with."""
        _require(self.network in NETWORKS, "--network", self.network, f"one of {NETWORKS}")
        _require(0.25 <= self.width <= 4, "width", self.width, "from 0.25 to 4")
        _require(self.size >= 32 and self.size % 16 == 0, "--size", self.size, "16·k, at least 32")
        _require(self.epochs >= 1, "--epochs", self.epochs, "at least 1")
        _require(self.batch >= 2, "--batch", self.batch, "at least 2")
        _require(0 < self.learning_rate < 10, "--learning-rate", self.learning_rate, "in (0, 10)")
        _require(0 < self.test < 0.9, "--holdout", self.test, "a share in (0, 0.9)")
        _require(0 < self.valid < 0.9 - self.test, "--valid", self.valid, "a share in (0, 0.9)")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "a share in [0, 1)")
        _require(0 <= self.drop_block < 1, "drop_block", self.drop_block, "a share in [0, 1)")
        _require(self.precision in PRECISIONS, "--precision", self.precision, f"{PRECISIONS}")
        _require(self.seed >= 0, "--seed", self.seed, "at least 0")
        counted = self.threads is None or 1 <= self.threads <= MOST_THREADS
        _require(counted, "--threads", self.threads, f"from 1 to {MOST_THREADS}")
        given = self.pretrained and self.weights is not None
        _require(not given, "--pretrained", "with --weights", "one of the two")
        within = 0 <= self.head_epochs <= self.epochs
        _require(within, "--head-epochs", self.head_epochs, f"0 to --epochs ({self.epochs})")
        _require(0 < self.body_rate <= 1, "--body-rate", self.body_rate, "a share in (0, 1]")
        plain = self.head_epochs == 0 and self.body_rate == 1
        whole = self.network != "notebook" or plain  # its optimiser and schedules know one rate
        _require(whole, "--network", "notebook", "without --head-epochs and --body-rate")
        weights = self.age_weights
        _require(weights in AGE_WEIGHTS, "--age-weights", weights, f"one of {AGE_WEIGHTS}")
        once = weights == "equal" or "age_group" not in self.balance
        _require(once, "--age-weights", weights, "without --balance age_group, which does the same")
        _require(0 < self.dro_rate <= 1, "--dro-rate", self.dro_rate, "in (0, 1]")

    def augment_at(self, epoch: int) -> Augmentation:
        """How batches are changed in `epoch` (0-based)."""
        if self.augment_last is None:
            return self.augment
        return self.augment.towards(self.augment_last, epoch / max(1, self.epochs - 1))

    def to_dict(self) -> dict[str, Any]:
        """JSON values, as `config.json` and the checkpoint hold them."""
        words: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return words

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        changed = dict(values)
        changed["augment"] = Augmentation(**changed["augment"])
        if changed.get("augment_last"):
            changed["augment_last"] = Augmentation(**changed["augment_last"])
        for name in SEVERAL & changed.keys():  # a run of before these options has none
            changed[name] = tuple(changed[name])
        return cls(**changed)


def _require(holds: bool, option: str, value: object, needed: str) -> None:  # noqa: FBT001
    if not holds:
        raise InputError(f"{option} {value}: must be {needed}")


RECIPES: Mapping[str, Mapping[str, Any]] = {
    "compact": {
        "width": 1.25,
        "epochs": 46,
        "kernel_rate": 10.0,
        "drop_block": 0.1,
        "augment": MILD,
        "augment_last": STRONG,
    },
    "notebook": {  # the notebook's own optimiser, losses and schedules: see model/notebook.py
        "epochs": 300,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "clip": 0.0,
        "average": 0.0,
        "warmup": 0.0,
        "augment": FLIP_ONLY,
    },
    **{name: {"epochs": 30, "learning_rate": 1e-3} for name in TORCHVISION},
}
QUICK: Mapping[str, Mapping[str, Any]] = {
    "compact": {
        "width": 1.0,
        "epochs": 10,
        "average": 0.99,
        "drop_block": 0.0,
        "augment": GENTLE,
        "augment_last": None,
    },
    "notebook": {"epochs": 10},
    **{name: {"epochs": 8} for name in TORCHVISION},
}


def settings_for(network: str = "compact", *, quick: bool = False, **changed: Any) -> TrainSettings:
    """The recipe of `network` (a short one with `quick`), with single settings `changed`."""
    _require(network in NETWORKS, "--network", network, f"one of {', '.join(NETWORKS)}")
    recipe = {**RECIPES[network], **(QUICK[network] if quick else {}), **changed}
    if network in TORCHVISION and (recipe.get("pretrained") or recipe.get("weights")):
        recipe = {"head_epochs": min(2, recipe["epochs"] // 4), "body_rate": 0.1, **recipe}
    return TrainSettings(network=network, **recipe)


def demo_settings(*, seed: int = 0, threads: int | None = None) -> TrainSettings:
    """About a minute on two cores for DEMO_FACES drawn faces.

    Small batches make the most of a minute, and drawn faces, all posed alike, need no more change
    than the mirror.
    """
    return settings_for(
        quick=True,
        size=64,
        epochs=20,
        batch=32,
        kernel_rate=0.0,  # small batches of small pictures leave Muon's arithmetic no room
        augment=FLIP_ONLY,
        seed=seed,
        threads=threads,
    )


def read_settings(folder: Path) -> TrainSettings | None:
    """The settings a training in `folder` was started with; None when there was none."""
    path = folder / "settings.json"
    if not path.is_file():
        return None
    again = "copy it again, or train anew in another --out"
    stored = read_json(path, again=again)
    try:
        return TrainSettings.from_dict(stored)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = error if isinstance(error, InputError) else "not what this version's training writes"
        raise InputError(f"{path}: {what}; {again}") from error


def write_settings(settings: TrainSettings, folder: Path) -> None:
    """Write `settings.json`, which `--resume` and `read_settings` read."""
    write_text(folder / "settings.json", json.dumps(settings.to_dict(), indent=1) + "\n")
