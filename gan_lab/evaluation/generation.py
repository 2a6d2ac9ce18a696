"""How a trained generator is asked for samples: truncated, with standing statistics of batch norm, with dropout."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.evaluation.isolation import scoring_mode
from gan_lab.runs.checkpoint import LoadedGenerator
from gan_lab.sampling import Draws, reseed_default_generators

MOST_CLASSES = 20  # of a picture with a row per class
COLUMNS = 9  # of pictures
BLOCK = 50  # samples whose inputs are drawn together
BOUNDS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)  # of normal latents, in a picture of truncation


def asked(
    loaded: LoadedGenerator,
    *,
    truncation: float | None,
    standing_statistics: Mapping[str, int] | None,
    dropout: bool = False,
) -> LoadedGenerator:
    """The generator with these settings, which become part of the protocol of its scores.

    Args:
        truncation: None for none. For a generator of styles psi, from 0 (the mean) to 1 (none); see `Truncated`. For
            others the bound of normal latents, more than 0, beyond which values are drawn anew (Brock et al. 2019,
            section 3.1).
        standing_statistics: `{batches, batch_size}` over which batch norm takes its statistics once more; None for
            those of training.
        dropout: whether dropout goes on as in training (Isola et al. 2017, section 3.2), in place.
    Raises:
        ValueError: a value out of range, uniform latents, or a generator without batch norm, or without dropout.
    """
    settings: dict[str, Any] = {}
    if truncation is not None:
        settings["truncation"] = truncation
        if hasattr(loaded.network, "truncate"):
            loaded = replace(loaded, network=Truncated(loaded.network, truncation))
        else:
            loaded = replace(loaded, inputs=loaded.inputs.truncated(truncation))
    if standing_statistics is not None:
        numbers = list(standing_statistics.values()) if isinstance(standing_statistics, Mapping) else []
        whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
        if len(numbers) != 2 or set(standing_statistics) != {"batches", "batch_size"} or not whole:
            raise ValueError(
                "standing_statistics must be two whole numbers, {batches: 100, batch_size: 64} for example, got "
                f"{standing_statistics!r}"
            )
        settings["standing_statistics"] = dict(standing_statistics)
        take_standing_statistics(loaded, **standing_statistics)
    if dropout:
        settings["dropout"] = True
        keep_dropout(loaded.network)
    return replace(loaded, asked=settings)


class Truncated(nn.Module):
    """A generator whose styles are drawn towards their mean (Karras et al. 2019, appendix B).

    Args:
        network: with `styles`, `mapping`, `truncate`, `synthesis` and `noise_size`, as `gan_lab.networks.stylegan2`.
        psi: 1 leaves styles as they are, 0 gives the mean.
    Raises:
        ValueError: psi out of range.
    """

    def __init__(self, network: Any, psi: float) -> None:
        super().__init__()
        if not 0 <= psi <= 1:
            raise ValueError(f"truncation of styles is psi, from 0 to 1, got {psi}")
        self.network, self.psi = network, psi
        self.noise_size, self.num_layers = network.noise_size, network.num_layers
        self.constant_noise = getattr(network, "constant_noise", None)
        self.sample_shape = network.sample_shape

    def mapping(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), and (B,) int64 of a conditional one -> (B, w_dim), not yet truncated."""
        return self.network.mapping(latents, labels)

    def synthesis(self, w: Tensor, **others: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of (B, w_dim) or (B, num_layers, w_dim), truncated."""
        return self.network.synthesis(self.network.truncate(w, self.psi), **others)

    def forward(self, latents: Tensor, labels: Tensor | None = None, **others: Tensor) -> Tensor:
        """The network's inputs -> (B, C, H, W)."""
        return self.synthesis(self.network.styles(latents, labels), **others)


def take_standing_statistics(loaded: LoadedGenerator, *, batches: int, batch_size: int) -> None:
    """Replace batch norm's running statistics by their means over batches of samples, in place (Brock et al. 2019).

    Running statistics lag behind a moving average of weights, and depend on the batches of training.

    Args:
        batches: how many, 1 or more.
        batch_size: samples of each, 2 or more.
    Raises:
        ValueError: a value out of range, or no batch norm with running statistics.
    """
    if batches < 1 or batch_size < 2:
        raise ValueError(f"standing_statistics need batches >= 1 and batch_size >= 2, got {batches} and {batch_size}")
    layers = [m for m in loaded.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    layers = [layer for layer in layers if layer.track_running_stats]
    if not layers:
        raise ValueError("standing_statistics are of batch normalization, which this generator has not; leave them out")
    momenta = [layer.momentum for layer in layers]
    device, draws = next(loaded.network.parameters()).device, Draws(0, across_ranks=False)
    with scoring_mode(loaded.network, device):
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all
            layer.train()
        try:
            for batch in range(batches):
                draws.move_to(batch)
                arguments = loaded.inputs.draw(draws, batch_size, first=batch * batch_size)
                reseed_default_generators(0, batch, across_ranks=False)
                loaded.network(**{name: value.to(device) for name, value in arguments.items()})
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum


class KeptDropout(nn.Dropout):
    """Dropout in eval mode, too."""

    def forward(self, values: Tensor) -> Tensor:
        """As `nn.Dropout` in training."""
        return nn.functional.dropout(values, self.p, training=True)


def keep_dropout(network: nn.Module) -> None:
    """Let dropout go on in eval mode, in place; what is left out is drawn by torch's own generators.

    Raises:
        ValueError: there is none.
    """
    found = [
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Dropout) and layer.p > 0
    ]
    if not found:
        raise ValueError("dropout=true is of networks with dropout, and this generator has none; leave it out")
    for parent, name, layer in found:
        setattr(parent, name, KeptDropout(layer.p))


def by_class(loaded: LoadedGenerator, seed: int) -> list[dict[str, Tensor]]:
    """The generator's inputs for each row of a picture: a class (the first 20), the same latents in all rows.

    Raises:
        ValueError: an unconditional generator.
    """
    if not loaded.inputs.num_classes:
        raise ValueError("pictures=[classes] needs a conditional generator, and this one has no classes")
    rows = []
    for label in range(min(loaded.inputs.num_classes, MOST_CLASSES)):
        draws = Draws(seed, across_ranks=False)  # from its beginning for each row
        rows.append(loaded.inputs.draw(draws, COLUMNS, torch.full((COLUMNS,), label)))
    return rows


def interpolations(loaded: LoadedGenerator, seed: int, rows: int = 8) -> list[dict[str, Tensor]]:
    """The generator's inputs for each row of a picture: from one latent to another, with one noise."""
    draws = Draws(seed, across_ranks=False)
    drawn = loaded.inputs.draw(draws, 2 * rows)
    if (noise := noise_of(loaded.network, draws, 2 * rows)) is not None:
        drawn["noise"] = noise
    t = torch.linspace(0, 1, COLUMNS, dtype=torch.float64)
    found = []
    for row in range(rows):
        one = {name: values[2 * row : 2 * row + 1].expand(COLUMNS, *values.shape[1:]) for name, values in drawn.items()}
        other = drawn["latents"][2 * row + 1].expand(COLUMNS, -1)
        one["latents"] = loaded.inputs.between(one["latents"].double(), other.double(), t).float()
        found.append(one)
    return found


def block_inputs(
    loaded: LoadedGenerator, *, seed: int, block: int, classes: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """The generator's inputs for samples `block` * BLOCK and those after it, BLOCK in all: a function of these alone.

    Args:
        seed: 0 or more.
        block: 0 or more.
        classes: labels to make in turn; None leaves them to the model.
    Raises:
        ValueError: classes for an unconditional model, or one that it does not have.
    """
    labels, first = None, block * BLOCK
    if classes is not None:
        wrong = [label for label in classes if not 0 <= label < loaded.inputs.num_classes]
        if wrong and loaded.inputs.num_classes:
            raise ValueError(f"classes {wrong} are not among 0 to {loaded.inputs.num_classes - 1}")
        if not classes:
            raise ValueError("classes=[] is empty; name at least one, or leave it out")
        labels = torch.tensor([classes[i % len(classes)] for i in range(first, first + BLOCK)])
    draws = Draws(seed, across_ranks=False)
    draws.move_to(block)
    return loaded.inputs.draw(draws, BLOCK, labels, first=first)


def has_styles(network: Any) -> bool:
    """Whether a generator maps latents to styles w, and these to pictures, as `gan_lab.networks.stylegan2` does."""
    return hasattr(network, "mapping") and hasattr(network, "synthesis")


def noise_of(network: Any, draws: Draws, count: int) -> Tensor | None:
    """(count, noise_size) for pictures whose noise is chosen: a network's own, constant one, or else drawn.

    None of a network that is given no noise.
    """
    size = getattr(network, "noise_size", None)
    if size is None:
        return None
    own: Tensor | None = getattr(network, "constant_noise", None)
    return draws.normal("noise", count, (size,)) if own is None else own.expand(count, -1)


def mixtures(loaded: LoadedGenerator, seed: int) -> list[dict[str, Tensor]]:
    """The inputs of synthesis for each row of a picture of style mixing (Karras et al. 2019, section 3.1).

    Of as many latents as there are rows and columns, the row's rules the first half of the layers, the coarser ones,
    and the column's the others; so each latent's own picture lies on the diagonal. All have one noise.

    Raises:
        ValueError: a generator without styles.
    """
    if not has_styles(loaded.network):
        raise ValueError(
            f"pictures=[mixing] mixes styles, and {type(loaded.network).__name__} has none; leave it out, or train "
            "with network=stylegan2"
        )
    network: Any = loaded.network
    w, noise = _styles(loaded, seed, COLUMNS)
    layers = network.num_layers
    columns_rule = torch.arange(layers, device=w.device)[:, None] >= layers // 2
    return [
        {"w": torch.where(columns_rule, w[:, None], w[row].expand(COLUMNS, layers, -1)), "noise": noise}
        for row in range(COLUMNS)
    ]


def truncations(loaded: LoadedGenerator, seed: int, rows: int = 8) -> list[dict[str, Tensor]]:
    """The inputs for each row of a picture: a latent, more truncated the further to the left.

    Columns have psi from 0 (the mean) to 1 for a generator of styles, else the `BOUNDS` of normal latents, within which
    a latent grows with its bound.

    Raises:
        ValueError: uniform latents, or a generator that is asked for truncated samples already.
    """
    if "truncation" in loaded.asked:
        raise ValueError("pictures=[truncation] shows all strengths of it; leave truncation=... out")
    if has_styles(loaded.network):
        network: Any = loaded.network
        w, noise = _styles(loaded, seed, rows)
        strengths = torch.linspace(0, 1, COLUMNS).tolist()
        return [
            {"w": torch.cat([network.truncate(w[row : row + 1], psi) for psi in strengths]), "noise": noise}
            for row in range(rows)
        ]
    drawn = [loaded.inputs.truncated(bound).draw(Draws(seed, across_ranks=False), rows) for bound in BOUNDS]
    return [{name: torch.stack([one[name][row] for one in drawn]) for name in drawn[0]} for row in range(rows)]


def _styles(loaded: LoadedGenerator, seed: int, count: int) -> tuple[Tensor, Tensor]:
    """(count, w_dim) of drawn latents, and one noise for a row of COLUMNS pictures, on the network's device."""
    network: Any = loaded.network
    device = next(network.parameters()).device
    draws = Draws(seed, across_ranks=False)
    given = {name: values.to(device) for name, values in loaded.inputs.draw(draws, count).items()}
    with scoring_mode(network, device):
        w = network.mapping(**given)
    noise = noise_of(network, draws, 1)
    assert noise is not None
    return w, noise.expand(COLUMNS, -1).to(device)
