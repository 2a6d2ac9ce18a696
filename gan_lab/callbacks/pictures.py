"""Pictures of samples from fixed latents: the same faces through the whole of training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Trainer
from torch import Tensor
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
        draws = Draws(module.seed, across_ranks=False)
        count = data.picture_samples or self.rows * self.columns
        classes = module.inputs.num_classes  # in turn, where there are any
        labels = torch.arange(count) % classes if classes else None
        sources, columns = held_out_sources(data), self.columns
        if sources is not None:
            # Of pictures that belong together: source, mask, output, what comes of it on the way back, target.
            kinds = 2 + module.inputs.masked + bool(module.directions) + ("targets" in sources.block(0, 1))
            abreast = max(1, self.columns // kinds)
            count, columns = min(self.rows * abreast, len(sources)), abreast * kinds
        arguments = module.inputs.bound_to(sources).draw(draws, count, labels)
        network = module.network_for_samples()
        with scoring_mode(network, module.device):
            reseed_default_generators(module.seed)
            samples = network(**{name: value.to(module.device) for name, value in arguments.items()})
            made = [each.cpu() for each in (samples, *there_and_back(module, samples))]
        shown = made[0] if sources is None else beside_sources(made, sources.block(0, count), sources.render)
        picture = data.picture(shown, columns)
        folder = run_dir(trainer) / "pictures"
        with self.going_on_without(str(folder)):
            folder.mkdir(exist_ok=True)
            save_png(picture, folder / f"{module.images_seen:012d}.png")
            save_png(picture, folder / "latest.png")
        for logger in trainer.loggers:
            with self.going_on_without(type(logger).__name__, Exception):
                _hand_to(logger, picture, module.images_seen)


def held_out_sources(data: Any) -> Any:
    """Those of the test images, or of the training images where there are no others; None for data without sources."""
    if data.condition_shape is None:
        return None
    return data.sources(data.split_like("test"))


def there_and_back(module: Any, samples: Tensor) -> list[Tensor]:
    """What the network of the other direction makes of outputs, where there is one."""
    back = list(module.directions)[1:]
    return [module.network_for_samples(direction=direction)(condition=samples) for direction in back]


def beside_sources(
    made: Sequence[Tensor], block: Mapping[str, Tensor], render: Callable[[Tensor], Tensor] = lambda sources: sources
) -> Tensor:
    """(k N, C, H, W) of (N, C, H, W) outputs, in a row with what belongs to them.

    That is source, mask if any, output, what came of it on the way back if any, and target if there is one. Sources of
    other sizes are enlarged without smoothing; grey ones are shown as they are in colour.

    Args:
        made: the outputs, and what came of them on the way back, which is of the sources' kind.
        block: see `gan_lab.data.sourced.Sources`.
        render: makes pictures of uint8 sources that are none.
    """
    shown = [from_uint8(render(block["condition"]))]
    if "mask" in block:
        shown.append(2.0 * block["mask"].float() - 1.0)
    shown += [made[0], *(from_uint8(render(to_uint8(back))) for back in made[1:])]
    if "targets" in block:
        shown.append(from_uint8(block["targets"]))
    size, channels = made[0].shape[2:], max(each.shape[1] for each in shown)
    alike = [interpolate(each, size).expand(-1, channels, -1, -1) for each in shown]
    return torch.stack(alike, dim=1).flatten(0, 1)


def _hand_to(logger: Any, picture: Any, images_seen: int) -> None:
    experiment: Any = getattr(logger, "experiment", None)
    if hasattr(logger, "log_image"):
        logger.log_image("samples", [Image.fromarray(picture)], step=images_seen)
    elif hasattr(experiment, "add_image"):
        shaped = picture if picture.ndim == 3 else picture[..., None]
        experiment.add_image("samples", shaped, images_seen, dataformats="HWC")
