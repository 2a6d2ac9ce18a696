"""Where latents are moved: the styles w of a generator that has them, else its latents z themselves."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_lab.data.images import to_uint8
from gan_lab.evaluation.generation import BLOCK, block_inputs, has_styles, noise_of
from gan_lab.evaluation.isolation import scoring_mode
from gan_lab.runs.checkpoint import LoadedGenerator
from gan_lab.sampling import Draws, reseed_default_generators


class Points(NamedTuple):
    """Places in a space.

    Attributes:
        positions: (N, dim) float64 on the CPU; of styles (N, num_layers, dim) as well, one for each layer.
        labels: (N,) int64 of a conditional generator without styles, whose positions do not tell the class; else None.
    """

    positions: Tensor
    labels: Tensor | None = None


class Space:
    """What all spaces share; `space_of` makes one.

    A picture is a function of its position, its label, the generator and the seed of the noise: it is made alone, so
    that what is made beside it does not matter, and all have one noise: the network's own where it has such.

    Args:
        loaded: the generator, with `truncation` and sliders applied, if any.
        seed: of the noise, where the generator is given some.
    Attributes:
        loaded: as given.
        dim: length of a position.
        device: of the network.
        noise: {"noise": (1, noise_size)}, or nothing.
    """

    name: str
    dim: int

    def __init__(self, loaded: LoadedGenerator, seed: int) -> None:
        self.loaded, self.seed = loaded, seed
        self.device = next(loaded.network.parameters()).device
        noise = noise_of(loaded.network, Draws(seed, across_ranks=False), 1)
        self.noise: dict[str, Tensor] = {} if noise is None else {"noise": noise.to(self.device)}

    def samples(self, seed: int, numbers: Sequence[int], classes: Sequence[int] | None = None) -> Points:
        """The places of the pictures to which `gan_lab.sample` gives these numbers, at the same seed and classes.

        Raises:
            ValueError: a negative number, or classes that the generator does not have.
        """
        wrong = [number for number in numbers if number < 0]
        if wrong:
            raise ValueError(f"pictures are numbered from 0, as gan_lab.sample numbers them; got {wrong}")
        blocks = {
            block: self._placed(block_inputs(self.loaded, seed=seed, block=block, classes=classes))
            for block in sorted({number // BLOCK for number in numbers})
        }
        chosen = [(blocks[number // BLOCK], number % BLOCK) for number in numbers]
        positions = torch.stack([points.positions[place] for points, place in chosen])
        labels = [points.labels[place] for points, place in chosen if points.labels is not None]
        return Points(positions, torch.stack(labels) if labels else None)

    def pictures(self, points: Points) -> Iterator[Tensor]:
        """(1, C, H, W) uint8 on the CPU of each point, in order."""
        for number in range(len(points.positions)):
            label = None if points.labels is None else points.labels[number : number + 1].to(self.device)
            with scoring_mode(self.loaded.network, self.device):
                reseed_default_generators(self.seed, across_ranks=False)  # one noise, also of what draws its own
                made = self.make(points.positions[number : number + 1].float().to(self.device), label)
            yield to_uint8(made).cpu()

    def make(self, positions: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) of positions on the network's device, through which a gradient flows."""
        raise NotImplementedError

    def _placed(self, arguments: dict[str, Tensor]) -> Points:
        """Where the inputs of a block of samples lie."""
        raise NotImplementedError


class Styles(Space):
    """w, of which every layer takes one: (dim,) for all of them, or (num_layers, dim). Labels are told by w."""

    name = "w"

    def __init__(self, loaded: LoadedGenerator, seed: int) -> None:
        super().__init__(loaded, seed)
        self.num_layers: int = loaded.network.num_layers  # type: ignore[assignment]
        self.dim = self.samples(0, [0], [0] if loaded.inputs.num_classes else None).positions.shape[-1]

    def make(self, positions: Tensor, labels: Tensor | None = None) -> Tensor:
        """See `Space`: of (B, dim) or (B, num_layers, dim)."""
        network: Any = self.loaded.network
        return network.synthesis(positions, noise=self.noise["noise"].expand(len(positions), -1))

    def _placed(self, arguments: dict[str, Tensor]) -> Points:
        network: Any = self.loaded.network
        with scoring_mode(network, self.device):
            w = network.mapping(**{name: values.to(self.device) for name, values in arguments.items()})
        return Points(w.double().cpu())


class Latents(Space):
    """z, as the generator draws it, codes of InfoGAN among it."""

    name = "z"

    def __init__(self, loaded: LoadedGenerator, seed: int) -> None:
        super().__init__(loaded, seed)
        self.dim = loaded.inputs.latent_dim

    def make(self, positions: Tensor, labels: Tensor | None = None) -> Tensor:
        """See `Space`: of (B, dim), and (B,) int64 of a conditional generator."""
        return self.loaded.network(positions, **({} if labels is None else {"labels": labels}))

    def _placed(self, arguments: dict[str, Tensor]) -> Points:
        return Points(arguments["latents"].double().cpu(), arguments.get("labels"))


def space_of(loaded: LoadedGenerator, seed: int = 0) -> Space:
    """The space of a generator.

    Raises:
        ValueError: it makes pictures from pictures, or points; what this tool does needs latents, and pictures to see.
    """
    network = type(loaded.network).__name__
    if hasattr(loaded.inputs, "condition_shape"):
        raise ValueError(
            f"{network} makes pictures from pictures: what it makes follows its source, and there is no space of "
            "latents to move in; python -m gan_lab.translate checkpoint=... sources=FOLDER makes pictures of yours"
        )
    if len(getattr(loaded.network, "sample_shape", (1, 1, 1))) != 3:
        raise ValueError(f"{network} makes points, and this is of pictures; choose a run on pictures")
    return (Styles if has_styles(loaded.network) else Latents)(loaded, seed)
