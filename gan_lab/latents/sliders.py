"""Named directions, stored beside the generator, and a generator that is moved along them."""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gan_lab import __version__
from gan_lab.evaluation.generation import has_styles
from gan_lab.latents.space import space_of
from gan_lab.runs.checkpoint import LoadedGenerator

FORMAT = 1
REMEDY = "make some: python -m gan_lab.directions checkpoint=..."
FILE = "sliders.json"
NAME = re.compile(r"[A-Za-z]\w*")


class Slider(NamedTuple):
    """A named direction.

    Attributes:
        step: (dim,) float32, what a strength of 1 adds to a position.
        layers: (first, end) of the w that it is added to; None for all, and for latents.
        made_by: the settings that it came from, plain values.
    """

    step: Tensor
    layers: tuple[int, int] | None
    made_by: dict[str, Any]


def place_of(loaded: LoadedGenerator) -> Path:
    """Where the sliders of a generator lie: in the folder of its file."""
    return loaded.path.parent / FILE


def digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights: directions are of these and no others."""
    found = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        found.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        found.update(values.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def write(path: Path, loaded: LoadedGenerator, sliders: Mapping[str, Slider], *, replacing: bool) -> None:
    """Add sliders to a file, which is made where it is missing.

    Args:
        path: see `place_of`.
        loaded: whose they are, as it was loaded.
        sliders: by name.
        replacing: whether other ones of these names, or those of another generator, may go.
    Raises:
        ValueError: a name that no key can have, or, unless `replacing`, what would be lost.
    """
    wrong = [name for name in sliders if not NAME.fullmatch(name)]
    if wrong:
        raise ValueError(f"a slider's name has letters, digits and _, and begins with a letter; got {', '.join(wrong)}")
    about = {
        "format": FORMAT,
        "gan_lab": __version__,
        "generator": digest(loaded.network),
        "space": "w" if has_styles(loaded.network) else "z",
        "sliders": {},
    }
    if path.exists():
        earlier = _read(path)
        if earlier["generator"] == about["generator"]:
            about["sliders"] = earlier["sliders"]
        elif not replacing:
            raise ValueError(
                f"{path} holds sliders of other weights; overwrite=true replaces them, file=... writes elsewhere"
            )
    stored: dict[str, Any] = about["sliders"]  # type: ignore[assignment]
    for name, slider in sliders.items():
        made = {"step": slider.step.tolist(), "layers": slider.layers and list(slider.layers)}
        new = made | {"made_by": slider.made_by}
        if stored.get(name, new) != new and not replacing:
            raise ValueError(f"{path} has another slider {name}; overwrite=true replaces it, or choose another name")
        stored[name] = new
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path, loaded: LoadedGenerator) -> dict[str, Slider]:
    """The sliders of a generator, as it was loaded.

    Raises:
        ValueError: no such file, none that was written by `write`, or one of other weights.
    """
    about = _read(path)
    if about["generator"] != digest(loaded.network):
        raise ValueError(
            f"the sliders in {path} are of other weights than {loaded.path} ({loaded.weights}); make them anew: "
            "python -m gan_lab.directions checkpoint=..."
        )
    dim, found = space_of(loaded).dim, {}
    for name, stored in about["sliders"].items():
        step, layers = stored.get("step"), stored.get("layers")
        sound = isinstance(step, list) and len(step) == dim
        if not sound or not all(isinstance(value, float) and math.isfinite(value) for value in step):
            raise ValueError(f"the slider {name} in {path} is damaged: its step must be {dim} finite numbers")
        if layers is not None and not (isinstance(layers, list) and len(layers) == 2):
            raise ValueError(f"the slider {name} in {path} is damaged: its layers must be null or two numbers")
        between = None if layers is None else (layers[0], layers[1])
        found[name] = Slider(torch.tensor(step), between, stored.get("made_by", {}))
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"there are no sliders at {path}; {REMEDY}") from error
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder; name the file of sliders in it") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read as sliders ({error}); {REMEDY}") from error
    sliders = about.get("sliders") if isinstance(about, dict) else None
    if not isinstance(sliders, dict) or not all(isinstance(stored, dict) for stored in sliders.values()):
        raise ValueError(f"{path} is no file of sliders; {REMEDY}")
    if about.get("format") != FORMAT or "generator" not in about:
        raise ValueError(f"{path} has format {about.get('format')}; this gan_lab {__version__} reads {FORMAT}")
    return about


def moved(loaded: LoadedGenerator, strengths: Mapping[str, float], path: Path | None = None) -> LoadedGenerator:
    """The generator with these sliders set. Truncation is asked of what is returned, and does not weaken them.

    Args:
        loaded: as it was loaded.
        strengths: by name of the slider; 0 for no change.
        path: of the file; None for `place_of`.
    Raises:
        ValueError: an unknown slider, one that is NaN or infinite, or a file that cannot be used, see `read`.
    """
    if not strengths:
        return loaded
    if wrong := {name: strength for name, strength in strengths.items() if not math.isfinite(strength)}:
        raise ValueError(f"sliders must be finite numbers, got {wrong}")
    path = path or place_of(loaded)
    sliders = read(path, loaded)
    unknown = [name for name in strengths if name not in sliders]
    if unknown:
        raise ValueError(f"sliders {', '.join(unknown)} are not among those in {path}: {', '.join(sliders) or 'none'}")
    return shifted(loaded, [(sliders[name], strength) for name, strength in strengths.items()])


def shifted(loaded: LoadedGenerator, sliders: list[tuple[Slider, float]]) -> LoadedGenerator:
    """The generator with the sum of these steps, each times its strength, added to every position."""
    network: Any = loaded.network
    if not has_styles(network):
        offset = sum((strength * slider.step for slider, strength in sliders), torch.zeros(loaded.inputs.latent_dim))
        return replace(loaded, network=MovedLatents(network, offset))
    offset = torch.zeros(network.num_layers, space_of(loaded).dim)
    for slider, strength in sliders:
        offset[slice(*(slider.layers or (None, None)))] += strength * slider.step
    return replace(loaded, network=MovedStyles(network, offset))


class MovedLatents(nn.Module):
    """A generator with something added to its latents.

    Args:
        network: of latents.
        offset: (latent_dim,) float32.
    """

    offset: Tensor

    def __init__(self, network: Any, offset: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("offset", offset.to(next(network.parameters()).device))
        self.sample_shape = getattr(network, "sample_shape", (1, 1, 1))  # of images, as elsewhere, where it is not told

    def forward(self, latents: Tensor, *labels: Tensor, **others: Tensor) -> Tensor:
        """The network's inputs -> its samples."""
        return self.network(latents + self.offset, *labels, **others)


class MovedStyles(nn.Module):
    """A generator of styles with something added to them, after truncation.

    Args:
        network: as `gan_lab.networks.stylegan2`.
        offset: (num_layers, w_dim) float32.
    """

    offset: Tensor

    def __init__(self, network: Any, offset: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("offset", offset.to(next(network.parameters()).device))
        self.sample_shape, self.num_layers = network.sample_shape, network.num_layers
        self.noise_size, self.constant_noise = network.noise_size, getattr(network, "constant_noise", None)

    def mapping(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), and (B,) int64 of a conditional one -> (B, w_dim), not yet moved."""
        return self.network.mapping(latents, labels)

    def styles(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, num_layers, w_dim), not yet moved."""
        return self.network.styles(latents, labels)

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """(B, num_layers, w_dim), drawn towards their mean."""
        return self.network.truncate(w, psi)

    def synthesis(self, w: Tensor, **others: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of (B, w_dim) or (B, num_layers, w_dim), moved."""
        return self.network.synthesis((w.unsqueeze(1) if w.ndim == 2 else w) + self.offset, **others)

    def forward(self, latents: Tensor, labels: Tensor | None = None, **others: Tensor) -> Tensor:
        """The network's inputs -> (B, C, H, W)."""
        return self.synthesis(self.styles(latents, labels), **others)
