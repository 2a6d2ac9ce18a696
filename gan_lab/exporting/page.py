"""One HTML file that makes pictures in a browser: the generator, what runs it, and controls; nothing is asked for."""

import base64
import gzip
import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab import __version__
from gan_lab.evaluation.generation import block_inputs, has_styles, noise_of
from gan_lab.exporting.onnx_file import check_extra, tried, written
from gan_lab.exporting.web_runtime import FILES, PACKAGE, VERSION
from gan_lab.latents.sliders import place_of, read
from gan_lab.latents.space import space_of
from gan_lab.runs.checkpoint import LoadedGenerator
from gan_lab.sampling import CodedInputs, Draws
from gan_lab.sharing.config import data_title
from gan_lab.sharing.marks import mark_of
from gan_lab.translation.applying import fill_of, labels_of
from gan_lab.translation.reach import size_multiple, smallest_size

SEEDS = 64  # whose latents are in the page, from 0 on
PICTURES = 9  # of a seed
DIMENSIONS = 6  # sliders of a generator without named ones
MOST_MEGABYTES = 200  # of weights: a browser holds several copies of them, the first as text
NOISE_SEED = 0
LEVEL = 6  # of gzip: 9 takes most of the time again, for half a percent


class OneNoise(nn.Module):
    """A generator of latents and noise, which is the same for all pictures.

    Args:
        network: takes `latents`, `labels` where it has classes, and `noise`.
        noise: (1, noise_size).
    """

    noise: Tensor

    def __init__(self, network: nn.Module, noise: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("noise", noise)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), and (B,) int64 of a conditional one -> (B, C, H, W)."""
        given = {} if labels is None else {"labels": labels}
        return self.network(latents, noise=self.noise.expand(len(latents), -1), **given)


class WithDrawn(nn.Module):
    """A translator with what it is given besides pictures, the same for all of them.

    Args:
        network: takes `condition`, `mask` where it fills holes, and what is in `besides`.
        besides: (1, ...) by the argument's name.
    """

    def __init__(self, network: nn.Module, besides: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(besides)
        for name, value in besides.items():
            self.register_buffer(name, value)

    def forward(self, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C', H, W), and (B, 1, H, W) of one that fills holes -> (B, C, H, W)."""
        drawn = {name: self.get_buffer(name) for name in self.names}
        given = {name: value.expand(condition.shape[0], *value.shape[1:]) for name, value in drawn.items()}
        return self.network(condition=condition, **({} if mask is None else {"mask": mask}), **given)


class Steered(nn.Module):
    """A generator of styles with truncation and what sliders add as inputs, and one noise for all pictures.

    Args:
        network: as `gan_lab.networks.stylegan2`.
        noise: (1, noise_size).
    """

    noise: Tensor

    def __init__(self, network: Any, noise: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("noise", noise)

    def forward(self, latents: Tensor, truncation: Tensor, offset: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures (B, C, H, W).

        Args:
            latents: (B, latent_dim).
            truncation: (1,), psi.
            offset: (num_layers, w_dim), added after truncation.
            labels: (B,) int64 of a conditional one.
        """
        w = self.network.truncate(self.network.mapping(latents, labels), truncation) + offset
        return self.network.synthesis(w, noise=self.noise.expand(len(latents), -1))


def check_suits_a_page(loaded: LoadedGenerator) -> None:
    """Whether a page can run this generator, before anything is made.

    Raises:
        ImportError: what writes ONNX files is missing.
        ValueError: it cannot, with the remedy.
    """
    check_extra("page")
    network: Any = loaded.network
    kind = type(network).__name__
    weights = 4e-6 * sum(values.numel() for values in network.state_dict().values())
    if weights > MOST_MEGABYTES:
        raise ValueError(
            f"page=true does not suit {loaded.path}: its weights take {weights:.0f} MB, and a page at most "
            f"{MOST_MEGABYTES}, since a browser holds them several times; leave it out, onnx=true runs elsewhere"
        )
    shape = tuple(getattr(network, "sample_shape", ()))
    if len(shape) != 3 or shape[0] not in (1, 3, 4):
        raise ValueError(
            f"page=true shows pictures of 1, 3 or 4 channels, and {kind} makes samples of shape {list(shape)}; leave "
            "it out: onnx=true suits it"
        )
    if not hasattr(loaded.inputs, "condition_shape"):
        return
    if loaded.config.get("data") and labels_of(loaded) is not None:
        raise ValueError(
            f"page=true reads pictures, and {kind} is given label maps; leave it out: python -m gan_lab.translate "
            "checkpoint=... sources=FOLDER"
        )
    level_of_holes(loaded)
    if loaded.inputs.condition_shape[0] not in (1, 3):
        raise ValueError(
            f"page=true reads pictures of 1 or 3 channels, and {kind} is given {loaded.inputs.condition_shape[0]}; "
            "leave it out: python -m gan_lab.translate checkpoint=... sources=FOLDER"
        )


def level_of_holes(loaded: LoadedGenerator) -> int | None:
    """The level that holes had in training; None of a network without masks.

    Raises:
        ValueError: it is not known.
    """
    data = loaded.config.get("data") or {}
    if loaded.inputs.masked and (data.get("condition") or {}).get("fill") is None:
        raise ValueError(
            f"page=true does not suit {loaded.path}: its run's data does not say what level holes had; leave it out: "
            "python -m gan_lab.translate checkpoint=... sources=FOLDER masks=FOLDER fill=LEVEL"
        )
    return fill_of(loaded, None)


def page_of(loaded: LoadedGenerator, *, runtime: Mapping[str, bytes], tolerance: float) -> str:
    """The page. Whatever comes from the run is escaped; a policy in the page forbids it to ask for anything.

    Args:
        loaded: see `check_suits_a_page`; on the CPU.
        runtime: see `gan_lab.exporting.web_runtime.web_runtime`.
        tolerance: see `gan_lab.exporting.onnx_file.written`.
    Raises:
        ValueError: sliders that lie beside the generator are damaged, or of other weights.
        RuntimeError: the ONNX file differs from the module.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = Path(__file__).parent
    translates = hasattr(loaded.inputs, "condition_shape")
    script = (folder / "page.js").read_text(encoding="utf-8")
    about, latents = (translator(loaded), b"") if translates else generator(loaded)
    library, glue, binary = (runtime[name] for name in FILES)
    about["texts"] = texts(loaded, of_picture=translates)
    packed = {
        "model": model(loaded, tolerance, translates),
        "latents": latents,
        "library": library,
        "glue": glue,
        "binary": binary,
    }
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.jinja").render(
        title=title(loaded),
        translates=translates,
        about=about,
        # Within a script, text ends at "</" and is not escaped otherwise.
        about_json=Markup(json.dumps(about).replace("<", "\\u003c")),
        facts=facts(loaded),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        packed={
            name: base64.b64encode(gzip.compress(content, LEVEL, mtime=0)).decode() for name, content in packed.items()
        },
        seeds=SEEDS,
        pictures=PICTURES,
        runtime=f"{PACKAGE} {VERSION}",
        licence=loaded.licence,
        written=time.strftime("%Y-%m-%d"),
        version=__version__,
    )


def generator(loaded: LoadedGenerator) -> tuple[dict[str, Any], bytes]:
    """What the page knows of a generator of latents, and (SEEDS, PICTURES, latent_dim) float32 of its seeds."""
    network: Any = loaded.network
    drawn = [block_inputs(loaded, seed=seed, block=0) for seed in range(SEEDS)]
    latents = torch.stack([given["latents"][:PICTURES] for given in drawn])
    styled, inputs = has_styles(network), loaded.inputs
    coded = isinstance(inputs, CodedInputs)
    about = {
        "shape": list(network.sample_shape),
        "seeds": SEEDS,
        "pictures": PICTURES,
        "latent_dim": latents.shape[-1],
        # How the page draws latents of other seeds: noise, then codes as `CodedInputs` has them.
        "distribution": (inputs.noise if coded else inputs).distribution,
        "categorical": list(inputs.categorical) if coded else [],
        "continuous": inputs.continuous if coded else 0,
        "classes": inputs.num_classes,
        "labels": [given["labels"][:PICTURES].tolist() for given in drawn] if "labels" in drawn[0] else None,
        "styles": [network.num_layers, space_of(loaded).dim] if styled else None,
        "sliders": sliders(loaded),
    }
    return about, latents.numpy().astype("<f4").tobytes()


def sliders(loaded: LoadedGenerator) -> list[dict[str, Any]]:
    """The named ones that lie beside the generator; without such, its first dimensions, codes before noise."""
    if place_of(loaded).exists():
        named = read(place_of(loaded), loaded)
        return [{"name": name, "step": slider.step.tolist(), "layers": slider.layers} for name, slider in named.items()]
    inputs = loaded.inputs
    if isinstance(inputs, CodedInputs) and inputs.continuous:
        first = inputs.latent_dim - inputs.continuous
        columns, name = range(first, inputs.latent_dim), "Code"
    else:
        columns, name = range(inputs.latent_dim), "Latent"
    return [{"name": f"{name} {number}", "column": column} for number, column in enumerate(columns[:DIMENSIONS], 1)]


def translator(loaded: LoadedGenerator) -> dict[str, Any]:
    """What the page knows of a generator of pictures from pictures."""
    network: Any = loaded.network
    condition = list(loaded.inputs.condition_shape)
    return {
        "shape": list(network.sample_shape),
        "condition": condition,
        "factor": network.sample_shape[1] // condition[1],
        "multiple": size_multiple(network),
        "smallest": smallest_size(network),
        "own_size_alone": bool(getattr(network, "own_size_alone", False)),
        "masked": loaded.inputs.masked,
        "fill": level_of_holes(loaded),
        "keeps_known": loaded.inputs.masked and condition == list(network.sample_shape),
    }


def model(loaded: LoadedGenerator, tolerance: float, translates: bool) -> bytes:
    """The ONNX file that the page runs; of a generator of latents one picture at a time."""
    draws = Draws(NOISE_SEED, across_ranks=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        if translates:
            example, compared, free = tried(loaded, draws)
            besides = drawn_besides(loaded)
            translating = WithDrawn(loaded.network, besides).eval() if besides else loaded.network
            example, *compared = ({k: v for k, v in each.items() if k not in besides} for each in (example, *compared))
            shapes: dict[str, Any] = dict.fromkeys(example, free)
            written(translating, path, example=example, compared=compared, shapes=shapes, tolerance=tolerance)
            return path.read_bytes()
        network = for_a_page(loaded)
        compared = [given_to(network, loaded, draws) for _ in range(3)]
        shapes = dict.fromkeys(compared[0])
        written(network, path, example=compared[0], compared=compared, shapes=shapes, tolerance=tolerance)
        return path.read_bytes()


def drawn_besides(loaded: LoadedGenerator) -> dict[str, Tensor]:
    """What a translator is given that is no picture: latents as of `gan_lab.translate` at its seed 0, and noise."""
    draws = Draws(NOISE_SEED, across_ranks=False)
    drawn = {k: v for k, v in loaded.inputs.example(draws, 1).items() if k not in ("condition", "mask")}
    noise = noise_of(loaded.network, draws, 1)
    return drawn if noise is None else drawn | {"noise": noise}


def for_a_page(loaded: LoadedGenerator) -> nn.Module:
    """The generator of latents as the page calls it: with one noise, and truncation and sliders of styles as inputs."""
    network: Any = loaded.network
    noise = noise_of(network, Draws(NOISE_SEED, across_ranks=False), 1)
    if noise is None:
        return network
    return (Steered if has_styles(network) else OneNoise)(network, noise).eval()


def given_to(network: nn.Module, loaded: LoadedGenerator, draws: Draws) -> dict[str, Tensor]:
    """Such inputs of a single picture."""
    drawn = loaded.inputs.example(draws, 1)
    if not isinstance(network, Steered):
        return drawn
    styles: Any = network.network
    offset = 0.3 * draws.normal("offset", styles.num_layers, (space_of(loaded).dim,))
    steering = {"truncation": draws.uniform("truncation", 1, ()), "offset": offset}
    return {"latents": drawn["latents"], **steering, **{k: v for k, v in drawn.items() if k == "labels"}}


def texts(loaded: LoadedGenerator, *, of_picture: bool) -> dict[str, str]:
    """What PNGs that the page saves say of their making, seeds aside, by the keyword of their chunk."""
    mark = mark_of(loaded, 0, of_picture=of_picture)
    said = {key: text for key, text in mark.texts().items() if key != "gan_lab.seed"}
    return said | {"XML:com.adobe.xmp": mark.xmp()}


def title(loaded: LoadedGenerator) -> str:
    """Model and data."""
    config = loaded.config
    name = str(config["model"].get("_target_", "")).rpartition(".")[2]
    data = data_title(config)
    way = f" {loaded.direction}" if loaded.direction else ""
    return f"{name}{way} on {data}" if data else f"{name}{way}"


def facts(loaded: LoadedGenerator) -> list[tuple[str, str]]:
    """What and value."""
    network: Any = loaded.network
    _, height, width = network.sample_shape
    count = sum(values.numel() for values in network.parameters())
    found = [
        ("network", type(network).__name__),
        ("trained on", f"{loaded.images_seen / 1000:,.0f} thousand pictures"),
        ("weights", {"ema": "averaged", "live": "of the last step"}[loaded.weights]),
        ("parameters", f"{count / 1e6:.1f} million"),
        ("pictures of", f"{width}x{height} pixels"),
    ]
    return found + ([("licence of the weights", loaded.licence)] if loaded.licence else [])
