"""What a page asks of a generator of latents: pictures by seed, more like some of them, walks, files to keep."""

import io
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from gan_lab.evaluation.generation import BLOCK, BOUNDS, asked, block_inputs, has_styles
from gan_lab.latents.paths import walk
from gan_lab.latents.sliders import Slider, shifted
from gan_lab.latents.space import Points, Space, space_of
from gan_lab.runs.checkpoint import LoadedGenerator
from gan_lab.sampling import check_seed, seed_sequence
from gan_lab.sharing.marks import Mark, mark_of
from gan_lab.translation.reading import image_of

PASSED = 4  # pictures that a walk passes through where none are chosen
MOST_FRAMES = 600


class Step(NamedTuple):
    """More pictures like some of those before.

    Attributes:
        chosen: numbers of the pictures that the new ones are near, in turn.
        spread: how far the new ones go from there towards others, more than 0 and up to 1.
    """

    chosen: tuple[int, ...]
    spread: float


class Request(NamedTuple):
    """All that decides the pictures of a page: asked for again, they are the same.

    Attributes:
        seed: of the first pictures, which have the numbers of `gan_lab.sample`, and of the noise.
        label: class of all of them; None leaves it to the model.
        truncation: see `gan_lab.evaluation.generation.asked`; None for none.
        strengths: of sliders by name; 0 for no change.
        steps: from the first pictures to those that are shown.
    """

    seed: int
    label: int | None = None
    truncation: float | None = None
    strengths: Mapping[str, float] = {}
    steps: tuple[Step, ...] = ()


class Truncation(NamedTuple):
    """What can be asked for.

    Attributes:
        least, most: bounds; `most` is taken for none.
        styles: whether it is psi of styles, else the bound of normal latents.
    """

    least: float
    most: float
    styles: bool


class Samples:
    """A generator of pictures from latents, as a page asks it; one request at a time, from any thread.

    Args:
        loaded: the generator.
        count: pictures that are shown at once, 1 to 50.
        sliders: directions by name.
    Attributes:
        num_classes: 0 where there are none to choose.
        truncation: what of it can be asked for; None for uniform latents, which have their own.
        small: whether a picture has so few pixels that they are to be seen as squares.
    Raises:
        ValueError: `count` out of range, or a generator of other things.
    """

    def __init__(self, loaded: LoadedGenerator, *, count: int, sliders: Mapping[str, Slider]) -> None:
        if not 1 <= count <= BLOCK:
            raise ValueError(f"count must be from 1 to {BLOCK}, got {count}")
        self.loaded, self.count, self.sliders = loaded, count, dict(sliders)
        space_of(loaded)  # refuses what has no latents to move, or makes no pictures
        self.num_classes: int = loaded.inputs.num_classes
        self.truncation = truncation_of(loaded)
        self._mark = mark_of(loaded, 0)
        self._last: tuple[Request, list[Image.Image]] | None = None
        self._turn = threading.Lock()  # all requests have one network, and the default generators of this process

    def pictures(self, request: Request) -> list[Image.Image]:
        """The pictures of a request, in order.

        Raises:
            ValueError: something in it that this generator cannot do.
        """
        with self._turn:
            if self._last is None or self._last[0] != request:
                space = self._space(request)
                made = [as_image(each) for each in space.pictures(self._points(space, request)[0])]
                self._last = request, made  # which are asked for again as a file, or beside training pictures
            return self._last[1]

    def labels(self, request: Request) -> list[int] | None:
        """The class of each picture; None where it has none, or none that is known."""
        with self._turn:
            return self._points(self._space(request), request)[1]

    def positions(self, request: Request) -> Points:
        """Where the pictures lie, before truncation of styles and sliders."""
        with self._turn:
            return self._points(self._space(request), request)[0]

    def frames(self, request: Request, chosen: Sequence[int], count: int) -> Iterator[Image.Image]:
        """A loop through chosen pictures, or through the first ones, frame by frame.

        Args:
            chosen: numbers of 2 pictures or more; none for the first `PASSED`.
            count: frames in all.
        Raises:
            ValueError: a wrong number, one picture alone, or pictures between which there is nothing.
        """
        if len(chosen) == 1:
            raise ValueError("a walk needs two pictures or more: choose another one, or none for the first ones")
        if not 2 <= count <= MOST_FRAMES:
            raise ValueError(f"a walk has 2 to {MOST_FRAMES} frames, got {count}")
        numbers = self._checked(chosen or range(min(PASSED, self.count)))
        with self._turn:
            space = self._space(request)
            points, _ = self._points(space, request)
            through = part(points, numbers)
            if through.labels is not None and len(through.labels.unique()) > 1:
                raise ValueError(
                    "between the classes of this generator there is nothing: choose pictures of one class, or a class "
                    "for all"
                )
            along = walk(space, through, max(count, len(numbers)), loop=True)
        for number in range(len(along.positions)):
            with self._turn:  # frame by frame, so that a walk keeps nobody waiting
                made = next(space.pictures(part(along, [number])))
            yield as_image(made)

    def file(self, request: Request, chosen: Sequence[int]) -> tuple[str, bytes]:
        """Name and content of a file of chosen pictures, as the generator made them: a PNG, or a zip of several.

        Args:
            chosen: their numbers; none for all.
        """
        numbers, made = self._checked(chosen or range(self.count)), self.pictures(request)
        stem = f"seed{request.seed}" + "".join(f"_near{'-'.join(map(str, step.chosen))}" for step in request.steps)
        stem = stem[:100]
        names = [f"{stem}_{number:06d}.png" for number in numbers]
        # Of samples alone: others have no number that `gan_lab.sample` knows.
        mark, numbered = self.mark(request), not request.steps
        contents = [png_of(made[number], mark.info(number if numbered else None)) for number in numbers]
        if len(numbers) == 1:
            return names[0], contents[0]
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
            for name, content in zip(names, contents, strict=True):
                file.writestr(zipfile.ZipInfo(name), content)
        return f"{stem}.zip", archive.getvalue()

    def mark(self, request: Request) -> Mark:
        """What files of these pictures say of their making."""
        return replace(self._mark, seed=request.seed)

    def _space(self, request: Request) -> Space:
        """The generator with sliders and truncation, as `gan_lab.sample` sets them."""
        unknown = [name for name in request.strengths if name not in self.sliders]
        if unknown:
            raise ValueError(
                f"there are no sliders {', '.join(unknown)}; there are {', '.join(self.sliders) or 'none'}"
            )
        loaded, moving = self.loaded, {name: value for name, value in request.strengths.items() if value}
        if moving:
            loaded = shifted(loaded, [(self.sliders[name], value) for name, value in moving.items()])
        loaded = asked(loaded, truncation=request.truncation, standing_statistics=None)
        return space_of(loaded, check_seed("seed", request.seed))

    def _points(self, space: Space, request: Request) -> tuple[Points, list[int] | None]:
        classes = None if request.label is None else [request.label]
        points = space.samples(request.seed, range(self.count), classes)
        labels = block_inputs(space.loaded, seed=request.seed, block=0, classes=classes).get("labels")
        known = None if labels is None else labels[: self.count].tolist()
        for number, step in enumerate(request.steps):
            chosen = self._checked(step.chosen)
            if not chosen:
                raise ValueError("choose at least one picture that the new ones are to be like")
            parents = [chosen[place % len(chosen)] for place in range(self.count)]
            known = None if known is None else [known[parent] for parent in parents]
            seed = int(seed_sequence(request.seed, "more like these", number).generate_state(1, np.uint64)[0])
            others = space.samples(seed, range(self.count), classes if known is None else known)
            points = nearby(space, Points(points.positions[parents], others.labels), others.positions, step.spread)
        return points, known

    def _checked(self, chosen: Sequence[int]) -> list[int]:
        wrong = [number for number in chosen if not 0 <= number < self.count]
        if wrong:
            raise ValueError(f"pictures are numbered from 0 to {self.count - 1}, got {wrong}")
        return list(chosen)


def part(points: Points, numbers: Sequence[int]) -> Points:
    """Some of the points, in this order."""
    numbers = list(numbers)
    return Points(points.positions[numbers], None if points.labels is None else points.labels[numbers])


def nearby(space: Space, points: Points, others: Tensor, spread: float) -> Points:
    """From each point a part of the way to another one.

    Styles go straight; latents along `inputs.between`, on which they stay as likely as before.

    Args:
        points: N of them.
        others: (N, dim) float64.
        spread: the part of the way, more than 0 and up to 1.
    Raises:
        ValueError: `spread` out of range.
    """
    if not 0 < spread <= 1:
        raise ValueError(f"how far new pictures go must be more than 0 and at most 1, got {spread}")
    if space.name == "w":
        return Points(points.positions.lerp(others, spread), points.labels)
    way = torch.full((len(others),), spread, dtype=torch.float64)
    return Points(space.loaded.inputs.between(points.positions, others, way), points.labels)


def truncation_of(loaded: LoadedGenerator) -> Truncation | None:
    """What truncation a generator of latents can be asked for; None for none."""
    if has_styles(loaded.network):
        return Truncation(0.0, 1.0, styles=True)
    try:
        loaded.inputs.truncated(BOUNDS[-1])
    except ValueError:  # uniform latents
        return None
    return Truncation(BOUNDS[0], BOUNDS[-1], styles=False)


def as_image(made: Tensor) -> Image.Image:
    """(1, C, H, W) uint8 on the CPU as an image of Pillow."""
    return image_of(made[0].permute(1, 2, 0).contiguous().numpy(), None)


def png_of(image: Image.Image, info: PngInfo) -> bytes:
    """Its PNG file, with metadata."""
    content = io.BytesIO()
    image.save(content, format="PNG", pnginfo=info)
    return content.getvalue()
