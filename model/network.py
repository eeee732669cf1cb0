"""The networks, whole: a face goes in, an age and a gender come out.

Every network maps a float picture batch [N, 3, size, size] to `(age, gender)`:
`age` is [N, 121] logits over the years 0..120 (or [N] years for the notebook's network), and
`gender` is [N], the logit of P(female). Nothing else in the project knows what is inside.
"""

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from audit.errors import InputError
from model.settings import NETWORKS, TORCHVISION

YEARS = 121  # one class a year, 0..120: the contract's range of ages
CLASSIFIER = {  # torchvision network -> the attribute whose last layer is replaced
    "mobilenet_v3_large": "classifier",
    "efficientnet_b0": "classifier",
    "resnet18": "fc",
    "convnext_tiny": "classifier",
}


class Residual(nn.Module):
    """Two 3×3 convolutions around a shortcut (He et al. 2016, basic block).

    In training a share `drop` of the faces takes the shortcut alone (Huang et al. 2016, stochastic
    depth).
    """

    def __init__(self, width_in: int, width: int, *, stride: int, drop: float = 0.0) -> None:
        super().__init__()
        self.drop = drop
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        self.relu = nn.ReLU(inplace=True)
        nn.init.zeros_(self.norm2.weight)  # each block starts as its shortcut: calmer first steps

    def forward(self, x: Tensor) -> Tensor:
        """[N, width_in, H, W] -> [N, width, H/stride, W/stride]."""
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        if self.training and self.drop:
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
            y = y * (kept.to(y.dtype) / (1 - self.drop))
        return torch.relu(y + self.shortcut(x))


class Compact(nn.Module):
    """The default: a residual net that trains on two cores (2.8 M parameters at width 1).

    Two strides in the stem, 4 pixels together, take most of the cost out of the first layers; two
    small kernels see finer lines than one large one of the same cost. The last map, one value
    for each part of the face, is read with weights of its own for each place and channel (Chen et
    al. 2018, MobileFaceNets: an eye is not a chin); they start as the plain mean. A dense layer
    would spend 9–17 M parameters there, as the notebook's network does. The weights fit pictures
    of one size.
    """

    HEADS = ("head",)
    WIDTHS = (32, 64, 128, 256)
    DEPTHS = (1, 2, 2, 2)

    def __init__(
        self,
        *,
        size: int = 128,
        widths: tuple[int, ...] = WIDTHS,  # of the four stages
        depths: tuple[int, ...] = DEPTHS,
        dropout: float = 0.2,
        drop_block: float = 0.0,  # of the last block; in a straight line from none at the first
    ) -> None:
        super().__init__()
        fine = 3 * widths[0] // 4
        self.stem = nn.Sequential(
            nn.Conv2d(3, fine, 3, 2, 1, bias=False),  # 128 -> 64
            nn.BatchNorm2d(fine),
            nn.ReLU(inplace=True),
            nn.Conv2d(fine, widths[0], 3, 2, 1, bias=False),  # -> 32
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        blocks: list[nn.Module] = []
        width_in = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for number in range(depth):
                stride = 2 if number == 0 and stage > 0 else 1  # 32 -> 32, 16, 8, 4
                drop = drop_block * len(blocks) / max(1, sum(depths) - 1)
                blocks.append(Residual(width_in, width, stride=stride, drop=drop))
                width_in = width
        self.body = nn.Sequential(*blocks)
        side = math.ceil(size / 32)  # of the last map
        places = nn.Conv2d(width_in, width_in, side, groups=width_in, bias=False)
        nn.init.constant_(places.weight, 1 / side**2)
        self.pool = nn.Sequential(
            places, nn.BatchNorm2d(width_in), nn.Flatten(), nn.Dropout(dropout)
        )  # -> [N, 256]
        self.head = nn.Linear(width_in, YEARS + 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, S, S] -> age logits [N, 121], gender logit [N]."""
        out = self.head(self.pool(self.body(self.stem(x))))
        return out[:, :YEARS], out[:, YEARS]


class Notebook(nn.Module):
    """The notebook's network, layer by layer (18.5 M parameters at 128×128).

    A 1×1 convolution learns the grey picture, four convolution blocks halve it to 8×8, three
    dense layers read it. `same` padding: with `valid` the flattened 6×6×512 would leave 11.2 M
    parameters, not the 18.5 M that its summary shows. Keras defaults are kept where they differ
    from PyTorch's: batch-norm momentum .99 (PyTorch's .01) and ε 1e-3, Glorot-uniform weights
    with zero biases, PReLU starting at 0.
    """

    HEADS = ("age", "gender")
    CONVOLUTIONS = ((64, 0.10), (128, 0.15), (256, 0.20), (512, 0.25))  # filters, dropout
    DENSE = ((512, 0.3), (256, 0.2), (128, 0.1))  # units, dropout

    def __init__(self, *, size: int = 128) -> None:
        super().__init__()

        def norm2d(width: int) -> nn.Module:
            return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)

        layers: list[nn.Module] = [nn.Conv2d(3, 1, 1), norm2d(1)]
        width_in = 1
        for width, dropout in self.CONVOLUTIONS:
            layers += [
                nn.Conv2d(width_in, width, 3, padding="same"),
                norm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Dropout(dropout),
            ]
            width_in = width
        layers.append(nn.Flatten())
        width_in *= (size // 16) ** 2
        activations = (nn.LeakyReLU(0.1), nn.PReLU(256, init=0.0), nn.SELU())
        for (width, dropout), activation in zip(self.DENSE, activations, strict=True):
            layers += [
                nn.Linear(width_in, width),
                nn.BatchNorm1d(width, eps=1e-3, momentum=0.01),
                activation,
                nn.Dropout(dropout),
            ]
            width_in = width
        self.layers = nn.Sequential(*layers)
        self.gender = nn.Linear(width_in, 1)
        self.age = nn.Linear(width_in, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, S, S] -> age in years [N], gender logit [N]."""
        features = self.layers(x)
        return self.age(features)[:, 0], self.gender(features)[:, 0]


class Borrowed(nn.Module):
    """A torchvision network whose classifier is replaced by the two heads."""

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        self.body = _torchvision_body(name, pretrained=pretrained)
        attribute = CLASSIFIER[name]
        classifier = getattr(self.body, attribute)
        last = classifier if isinstance(classifier, nn.Linear) else classifier[-1]
        head = nn.Linear(last.in_features, YEARS + 1)
        if isinstance(classifier, nn.Linear):
            setattr(self.body, attribute, head)
            self.HEADS = (f"body.{attribute}",)
        else:
            classifier[-1] = head
            self.HEADS = (f"body.{attribute}.{len(classifier) - 1}",)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, S, S] -> age logits [N, 121], gender logit [N]."""
        out = self.body(x)
        return out[:, :YEARS], out[:, YEARS]


def _torchvision_body(name: str, *, pretrained: bool) -> Any:
    from torchvision import models  # noqa: PLC0415 - half a second, only for these networks

    if not pretrained:
        return models.get_model(name, weights=None)
    try:
        return models.get_model(name, weights="DEFAULT")
    except (OSError, RuntimeError) as error:  # no network, no cache folder, a cut download
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"--pretrained: the weights of {name} could not be fetched ({reason}); download them "
            "where there is a network and give the file with --weights FILE"
        ) from error


def build_network(
    name: str,
    *,
    size: int = 128,
    width: float = 1.0,
    dropout: float = 0.2,
    drop_block: float = 0.0,
    pretrained: bool = False,
) -> nn.Module:
    """The network called `name`, for pictures of `size` × `size`, with fresh weights.

    `width` multiplies the channels of the compact network, `dropout` and `drop_block` are what it
    leaves out in training; the others have their own.
    Weights come from PyTorch's global random state: call `torch.manual_seed` first. Raises
    InputError for an unknown name, a size the network cannot take, and `pretrained` weights that
    do not exist or cannot be fetched.
    """
    if name not in NETWORKS:
        raise InputError(f"--network {name}: choose one of {', '.join(NETWORKS)}")
    if size < 32 or size % 16:
        raise InputError(f"--size {size}: must be a multiple of 16, at least 32")
    if pretrained and name not in TORCHVISION:
        raise InputError(f"--pretrained: {name} has none; choose one of {', '.join(TORCHVISION)}")
    if name == "compact":
        first, *rest = Compact.WIDTHS  # on the largest maps channels cost most and bring least
        widths = (round(min(width, 1.0) * first), *(round(width * w) for w in rest))
        return Compact(size=size, widths=widths, dropout=dropout, drop_block=drop_block)
    if name == "notebook":
        return Notebook(size=size)
    return Borrowed(name, pretrained=pretrained)


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers in the network."""
    return sum(parameter.numel() for parameter in network.parameters())


def head_names(network: nn.Module) -> set[str]:
    """Names of the parameters of the two heads; the rest of the network is its body."""
    layers: Any = network.HEADS
    return {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights from a `.safetensors` file or a `weights_only` PyTorch file, never a pickle.

    A PyTorch file that holds anything but tensors could run code when read: it is refused, and
    no option turns that off. Raises InputError, naming the file.
    """
    if not path.is_file():
        raise InputError(f"--weights {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error
    except Exception as error:
        raise InputError(
            f"--weights {path}: not a file of plain weights (a pickle could run code: refused); "
            "save the state dict with safetensors"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise InputError(f"--weights {path}: holds no state dict (names -> tensors)")
    return loaded


def load_weights(network: nn.Module, weights: dict[str, Tensor], *, source: str) -> None:
    """Put `weights` into `network`, every name and shape exactly, or raise InputError.

    `source` names the file in the error, which lists up to five names that are missing, unknown
    or of another shape.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in weights]
    unknown = [name for name in weights if name not in own]
    shaped = [
        f"{name} is {tuple(weights[name].shape)}, needs {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        for what, names in (("missing", missing), ("unknown", unknown), ("other shape", shaped))
        if names
    ]
    if faults:
        raise InputError(f"{source} holds weights of another network: {'; '.join(faults)}")
    network.load_state_dict(weights)


def load_body(network: nn.Module, weights: dict[str, Tensor], *, source: str) -> None:
    """Start from `weights` of the same network, ours or torchvision's own with its classifier.

    Torchvision's ImageNet files carry a classifier of 1,000 classes: its last layer is the one
    thing that is not taken over. Everything else must fit exactly (InputError as above).
    """
    own = network.state_dict()
    if isinstance(network, Borrowed) and not any(name.startswith("body.") for name in weights):
        weights = {f"body.{name}": tensor for name, tensor in weights.items()}
        weights = {**weights, **{name: own[name] for name in head_names(network)}}
    load_weights(network, weights, source=source)
