"""Pictures of samples from fixed latents: the same faces through the whole of training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gan_lab.callbacks.base import TickCallback, is_first_rank, run_dir
from gan_lab.data.images import from_uint8, to_uint8
from gan_lab.data.pictures import save_png
from gan_lab.evaluation.isolation import scoring_mode
from gan_lab.sampling import Draws, reseed_default_generators


class Pictures(TickCallback):
    """Draws samples at intervals, at the end and before the first step, as pictures/<images seen>.png and latest.png.

    Args:
        every_kimg: from one picture to the next, in thousands of images; None for the end alone.
        rows, columns: of the grid that images make, each 1 or more.
    """

    def __init__(self, every_kimg: float | None, rows: int, columns: int) -> None:
        super().__init__(every_kimg)
        if rows < 1 or columns < 1:
            raise ValueError(f"a grid needs rows and columns of 1 or more, got {rows} and {columns}")
        self.rows, self.columns = rows, columns

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        if pl_module.images_seen == 0:
            self.tick(trainer, pl_module)

    def tick(self, trainer: Trainer, module: Any) -> None:
        if not is_first_rank():
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        of = self.samples if data.condition_shape is None else self.translations
        picture = data.picture(*of(data, module))
        folder = run_dir(trainer) / "pictures"
        with self.going_on_without(str(folder)):
            folder.mkdir(exist_ok=True)
            save_png(picture, folder / f"{module.images_seen:012d}.png")
            save_png(picture, folder / "latest.png")
        for logger in trainer.loggers:
            with self.going_on_without(type(logger).__name__, Exception):
                _hand_to(logger, picture, module.images_seen)

    def samples(self, data: Any, module: Any) -> tuple[Tensor, int]:
        """(N, *sample_shape) samples from fixed latents, and the columns of their grid; classes take turns."""
        count = data.picture_samples or self.rows * self.columns
        classes = module.inputs.num_classes
        labels = torch.arange(count) % classes if classes else None
        arguments = module.inputs.draw(Draws(module.seed, across_ranks=False), count, labels)
        return made_of(arguments, module, [module.network_for_samples()])[0], self.columns

    def translations(self, data: Any, module: Any) -> tuple[Tensor, int]:
        """(N, C, H, W) pictures that belong together beside each other, and the columns of their grid.

        These are source, mask if any, output, what comes of it on the way back if there is one, and target if it is
        known. The lower half of the rows shows the other direction, of a model that translates either way.
        """
        ways = list(module.directions) or [None]
        sets = [held_out_sources(data, turned=number > 0) for number in range(len(ways))]
        kinds = 1 + len(ways) + module.inputs.masked + ("targets" in sets[0].block(0, 1))
        abreast = max(1, min(self.columns // kinds, *map(len, sets)))
        parts = []
        for number, sources in enumerate(sets):
            count = min((self.rows + len(ways) - 1 - number) // len(ways) * abreast, len(sources))
            if number < len(ways) - 1:
                count -= count % abreast  # whole rows, below which the next direction begins
            if count:
                networks = [module.network_for_samples(direction=way) for way in (*ways[number:], *ways[:number])]
                arguments = module.inputs.bound_to(sources).draw(Draws(module.seed, across_ranks=False), count)
                made = made_of(arguments, module, networks)
                kind = "render_outputs" if number else "render"  # what are the sources of the first way
                parts.append(beside_sources(made, sources.block(0, count), **{kind: sets[0].render}))
        return joined(parts), abreast * kinds


def held_out_sources(data: Any, *, turned: bool = False) -> Any:
    """Those of the test images, or of the training images where there are no others; None for data without sources.

    Args:
        turned: those of translations back.
    """
    if data.condition_shape is None:
        return None
    return (data.turned() if turned else data).sources(data.split_like("test"))


def made_of(arguments: Mapping[str, Tensor], module: Any, networks: Sequence[nn.Module]) -> list[Tensor]:
    """On the CPU what the first network makes of its arguments, and each further one of what the one before has made.

    Samples leave no trace in training; noise is the same at each call.
    """
    with scoring_mode(nn.ModuleList(networks), module.device):
        reseed_default_generators(module.seed)
        made = [networks[0](**{name: value.to(module.device) for name, value in arguments.items()})]
        for network in networks[1:]:
            made.append(network(condition=made[-1]))
        return [each.cpu() for each in made]


Render = Callable[[Tensor], Tensor]  # makes pictures of uint8 tensors that are none


def beside_sources(
    made: Sequence[Tensor],
    block: Mapping[str, Tensor],
    *,
    render: Render | None = None,
    render_outputs: Render | None = None,
) -> Tensor:
    """(k N, C, H, W) of (N, C, H, W) outputs, in a row with what belongs to them.

    That is source, mask if any, output, what came of it on the way back if any, and target if there is one. Sources of
    other sizes are enlarged without smoothing; grey ones are shown as they are in colour.

    Args:
        made: the outputs, and what came of them on the way back, which is of the sources' kind.
        block: see `gan_lab.data.sourced.Sources`.
        render, render_outputs: for sources, and for outputs and targets; None for what are pictures.
    """
    shown = [_shown(from_uint8(block["condition"]), render)]
    if "mask" in block:
        shown.append(2.0 * block["mask"].float() - 1.0)
    shown += [_shown(made[0], render_outputs), *(_shown(back, render) for back in made[1:])]
    if "targets" in block:
        shown.append(_shown(from_uint8(block["targets"]), render_outputs))
    size, channels = made[0].shape[2:], max(each.shape[1] for each in shown)
    alike = [interpolate(each, size).expand(-1, channels, -1, -1) for each in shown]
    return torch.stack(alike, dim=1).flatten(0, 1)


def _shown(images: Tensor, render: Render | None) -> Tensor:
    return images if render is None else from_uint8(render(to_uint8(images)))


def _hand_to(logger: Any, picture: Any, images_seen: int) -> None:
    experiment: Any = getattr(logger, "experiment", None)
    if hasattr(logger, "log_image"):
        logger.log_image("samples", [Image.fromarray(picture)], step=images_seen)
    elif hasattr(experiment, "add_image"):
        shaped = picture if picture.ndim == 3 else picture[..., None]
        experiment.add_image("samples", shaped, images_seen, dataformats="HWC")


def joined(parts: Sequence[Tensor]) -> Tensor:
    """(N, C, H, W) of pictures that are shown in one grid, of the first one's size and the most channels of any."""
    size, channels = parts[0].shape[2:], max(part.shape[1] for part in parts)
    return torch.cat([interpolate(part, size).expand(-1, channels, -1, -1) for part in parts])
