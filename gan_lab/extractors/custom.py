"""Any network of one's own as an extractor: a module named in the configuration, or an exported program."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.data.images import resize as bicubic_antialiased
from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights, file_sha256
from gan_lab.extractors.files import read_state, state_sha256
from gan_lab.extractors.naming import checked_name
from gan_lab.extractors.pixels import continuous, standardized, to_channels

OUTPUTS = ("features", "logits")


class Custom(Extractor):
    """What one's own network makes of images: a tensor of features, or a mapping with "features", "logits" or both.

    Images go in as float32: brought to `channels` and `size`, divided by 255, minus `mean`, over `std`. In a
    configuration `module` is `{_target_: my_package.MyNet, _partial_: true, ...}`. A run's stored configuration that
    names such a class runs only for those who say `trust=[my_package]` (see `gan_lab.runs.checkpoint.build`); the same
    holds for `exported_program`.

    The protocol holds the class's name, its arguments, the weights' digest and a probe: the size of the outputs for two
    fixed images, to three digits, by which changed code is noticed. What remains: code that changes the outputs for
    other images alone, or by less; of an argument that is no plain value, all but its type; and of a network that came
    built (without `_partial_`), its arguments. Give such a change another `name`.

    Args:
        module: a class with its arguments (`functools.partial`), or the network built; or a function that makes it of
            the weights' path, such as `exported_program`, perhaps with arguments too.
        weights: a file of tensors for the network (safetensors, or `torch.save` of a state dict), or what the function
            reads; None takes the network as it is built.
        name: as it stands in the names of scores.
        channels: 1, 3 or 4.
        size: [height, width] in pixels.
        resize: how images of another size are brought to it: "bicubic" (antialiased, rounded to 256 levels) or
            "bilinear" (not antialiased, not rounded).
        mean: of each channel, of images in [0, 1].
        std: of each channel.
    Raises:
        ValueError: a value out of range, or the network gives something else.
        MissingWeights, DamagedWeights: see there.
    """

    def __init__(
        self,
        module: nn.Module | Callable[..., nn.Module],
        weights: str | Path | None,
        name: str,
        channels: int,
        size: Sequence[int],
        resize: str,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.name = checked_name(name)
        if resize not in ("bicubic", "bilinear"):
            raise ValueError(f"resize must be bicubic or bilinear, got {resize!r}")
        if channels not in (1, 3, 4) or len(mean) != channels or len(std) != channels or not all(std):
            raise ValueError(
                f"channels must be 1, 3 or 4, with as many values of mean and std, none of std zero; got {channels}, "
                f"{list(mean)} and {list(std)}"
            )
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"size must be [height, width], 1 or more each, got {list(size)}")
        self.channels, self.size, self.resize = channels, (size[0], size[1]), resize
        self.mean, self.std = tuple(mean), tuple(std)
        if message := self.missing_weights(weights=weights, name=name):
            raise MissingWeights(message)
        maker = module.func if isinstance(module, partial) else module
        if isinstance(module, nn.Module) or (isinstance(maker, type) and issubclass(maker, nn.Module)):
            self.network = module if isinstance(module, nn.Module) else module()
            if weights is not None:
                _load_into(self.network, Path(weights))
        elif weights is None:
            raise ValueError(f"{name}: the function that is to make the network needs the weights' path, got None")
        else:
            self.network = module(Path(weights))
        self.module_name = _name_of(maker)
        self.arguments = _arguments_of(module) if isinstance(module, partial) else None
        self.requires_grad_(False)
        self.eval()
        self.weights_sha256 = state_sha256(self.network) if weights is None else file_sha256(Path(weights))
        tried = self(_fixed_images(2, channels, *self.size))
        self.outputs = tuple(tried)
        self.probe = {name: [f"{size:.3g}" for size in _sizes(rows)] for name, rows in tried.items()}
        self.feature_dim = tried["features"].shape[1] if "features" in tried else 0

    @classmethod
    def missing_weights(  # type: ignore[override]
        cls, *, weights: str | Path | None, name: str, **others: Any
    ) -> str | None:
        """None, or which file is absent."""
        if weights is None or Path(weights).is_file():
            return None
        return f"the weights file {weights} of {name} is absent: give its place as the extractor's weights=PATH"

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "extractor": self.name,
            "module": self.module_name,
            "arguments": self.arguments,
            "probe": self.probe,
            "weights_sha256": self.weights_sha256,
            "channels": self.channels,
            "size": list(self.size),
            "resize": self.resize,
            "mean": list(self.mean),
            "std": list(self.std),
            "dtype": "float32",
        }

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        images = to_channels(images, self.channels)
        if self.resize == "bicubic":
            pixels = bicubic_antialiased(images, self.size).float()
        else:
            pixels = F.interpolate(images.float(), self.size, mode="bilinear", align_corners=False)
        given = self.network(standardized(pixels / 255, self.mean, self.std))
        found = _by_name(given)
        outputs = {key: found[key] for key in OUTPUTS if key in found}
        shapes = {key: tuple(getattr(value, "shape", ())) for key, value in outputs.items()}
        if not outputs or any(len(shape) != 2 or shape[0] != len(images) for shape in shapes.values()):
            raise ValueError(
                f"{self.name} must give (B, d) features, or a mapping with (B, d) 'features' or (B, K) 'logits'; for "
                f"{len(images)} images it gave {shapes or type(given).__name__}"
            )
        return outputs

    def maps(self, images: Tensor) -> Tensor:
        """What the network gives as "features", of any shape.

        Raises:
            ValueError: it gives none, or none with a gradient.
        """
        pixels = continuous(images, self.channels, self.size if self.resize == "bicubic" else None)
        if self.resize == "bilinear":
            pixels = F.interpolate(pixels, self.size, mode="bilinear", align_corners=False)
        features = _by_name(self.network(standardized((pixels + 1) / 2, self.mean, self.std))).get("features")
        needed = images.requires_grad and torch.is_grad_enabled()
        if not isinstance(features, Tensor) or (needed and not features.requires_grad):
            raise ValueError(f"the extractor {self.name} gives no features with a gradient to the images")
        return features


def _by_name(given: Any) -> Mapping[str, Any]:
    """What a network has given: features, unless it says otherwise."""
    return given if isinstance(given, Mapping) else {"features": given}


def exported_program(path: Path) -> nn.Module:
    """The network in a file of `torch.export.save` (.pt2), exported with a dynamic batch size.

    Such a file is a program, not only data. The graph is plain JSON, but `torch.export.load` unpickles the example
    inputs, constants and some tensors without restriction (example inputs after a restricted try has failed): a forged
    file ran a shell command when PyTorch 2.15 loaded it. Load only files that you, or people you trust, have made.
    For that reason this is a function: of a stored configuration, `gan_lab.runs.checkpoint.build` makes nothing but
    classes of gan_lab unless told to trust more.

    Raises:
        DamagedWeights: not such a file.
    """
    try:
        program = torch.export.load(path).module()
    except Exception as error:  # damaged files make the loader raise anything at all
        raise DamagedWeights(f"{path} is no program that torch.export.save wrote: {error}") from error
    return _Program(program)


class _Program(nn.Module):
    """An exported module, which refuses to change its mode: it was fixed by the export."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, images: Tensor) -> Any:
        return self.program(images)

    def train(self, mode: bool = True) -> "_Program":
        return self


def _load_into(module: nn.Module, path: Path) -> None:
    wanted = f"the weights of {type(module).__name__}"
    try:
        state = load_file(path) if path.suffix == ".safetensors" else read_state(path, wanted)
        module.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise DamagedWeights(f"{path} does not hold {wanted}: {error}") from error


def _fixed_images(*shape: int) -> Tensor:
    """uint8 noise by arithmetic alone, so that no version of a random generator changes it."""
    numbers = torch.arange(torch.Size(shape).numel())
    return (numbers * 2654435761 % 2**32 >> 13).remainder(256).to(torch.uint8).view(shape)


def _sizes(rows: Tensor) -> list[float]:
    """The root mean square of each row, where later columns weigh more so that their order counts.

    Squares do not cancel, so another machine's rounding is far below three digits.
    """
    weights = torch.linspace(0.5, 1.5, rows.shape[1], dtype=torch.float64)
    return (rows.double().square() * weights).mean(dim=1).sqrt().tolist()


def _arguments_of(made: partial[Any]) -> dict[str, Any]:
    """By name, and those by position under "_args_", as JSON values."""
    by_position = {"_args_": [_plain(value) for value in made.args]} if made.args else {}
    return by_position | {name: _plain(value) for name, value in made.keywords.items()}


def _plain(value: Any) -> Any:
    """A JSON value that is the same in every process."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    if isinstance(value, partial):
        return {"_target_": _name_of(value.func)} | _arguments_of(value)
    return {"_target_": _name_of(value)}


def _name_of(value: Any) -> str:
    """The dotted name of a class or function, or of what else an object's type is."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
