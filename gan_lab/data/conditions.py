"""What a translator is given, made of its target: less colour, fewer pixels, noise, a hole.

A source that is a function of its target makes a paired task of any set of images.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import max_pool2d

from gan_lab.data.images import resize
from gan_lab.data.masks import Holes, sample_generator, whole_interval
from gan_lab.sampling import check_seed, send

LUMA = (299, 587, 114)  # ITU-R BT.601, in thousandths of red, green and blue
SUBSAMPLING = "4:2:0"  # of colours in a JPEG: what most programs write


class Condition(ABC):
    """A source image for each target, quantized as a file would be.

    What is made of a sample depends on nothing but its pixels, its index and its pass: not on the batch that it is in,
    nor on ranks, workers or threads.

    Attributes:
        name: of the kind, in protocols and messages.
        masked: whether `make` gives a mask too.
        channels: of targets, as the kind takes them.
    """

    name: ClassVar[str]
    masked: ClassVar[bool] = False
    channels: ClassVar[tuple[int, ...]] = (1, 3)

    def shape(self, sample_shape: Sequence[int]) -> tuple[int, int, int]:
        """(C', H', W') of the condition for targets of `sample_shape`; the same, unless a kind says otherwise.

        Raises:
            ValueError: it cannot be made of such samples.
        """
        if len(sample_shape) != 3:
            raise ValueError(
                f"data.condition={self.name} is made of images (channels, height, width), and data.sample_shape is "
                f"{list(sample_shape)}; choose a data set of images"
            )
        channels, height, width = sample_shape
        if channels not in self.channels:
            accepted = " or ".join(map(str, self.channels))
            raise ValueError(
                f"data.condition={self.name} is made of images of {accepted} channels, and data.sample_shape has "
                f"{channels}; choose another data set, another condition, or set data.channels where the data set "
                "can have either"
            )
        return channels, height, width

    @abstractmethod
    def make(self, images: Tensor, index: Tensor, passes: Tensor | None = None) -> dict[str, Tensor]:
        """The condition of each image.

        Args:
            images: (B, C, H, W) uint8 on any device, of a shape that `shape` has passed.
            index: (B,) int64, of each sample in its set. Kinds that draw read it on the CPU, where it should be.
            passes: (B,) int64, how often training has been through the set, beside `index`; None as in evaluation,
                whose draws are none of training's.
        Returns:
            `condition`: (B, C', H', W') uint8 on the device of `images`; if `masked`, `mask`: (B, 1, H, W) bool there,
            True in the hole.
        """

    def render(self, condition: Tensor) -> Tensor:
        """(N, C', H', W') uint8 conditions as pictures for people: themselves, unless a kind says otherwise."""
        return condition

    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """Plain JSON values that say all that decides the conditions of evaluation."""

    def held_out(self) -> "Condition":
        """The same for images that are not trained on; itself, unless a kind says otherwise."""
        return self

    def identity(self) -> str | None:
        """A digest of the files that it reads, wherever they lie, without reading all of them; None for no files."""
        return None

    def content(self) -> str | None:
        """A digest of all that it takes of the files that it reads, which it reads now; None for no files.

        Raises:
            OSError, ValueError: they are not there, or are not what they should be; after `shape`.
        """
        return None


class Grey(Condition):
    """Luma of red, green and blue by ITU-R BT.601, as one channel: the task is to colour it."""

    name = "grey"
    channels = (3,)

    def shape(self, sample_shape: Sequence[int]) -> tuple[int, int, int]:
        """See `Condition`."""
        _, height, width = super().shape(sample_shape)
        return 1, height, width

    def make(self, images: Tensor, index: Tensor, passes: Tensor | None = None) -> dict[str, Tensor]:
        """See `Condition`."""
        return {"condition": luma(images)}

    def protocol(self) -> dict[str, Any]:
        """See `Condition`."""
        return {"condition": self.name, "weights": list(LUMA)}


class Inverted(Condition):
    """255 - x: the true map is known, so that what a translator learns without pairs can be measured."""

    name = "inverted"

    def make(self, images: Tensor, index: Tensor, passes: Tensor | None = None) -> dict[str, Tensor]:
        """See `Condition`."""
        return {"condition": 255 - images}

    def protocol(self) -> dict[str, Any]:
        """See `Condition`."""
        return {"condition": self.name}


class Downsampled(Condition):
    """Fewer pixels, bicubic with antialiasing: the task is to enlarge.

    Args:
        factor: by which height and width are divided, a whole number of 2 or more.
    """

    name = "downsampled"

    def __init__(self, *, factor: int) -> None:
        if not isinstance(factor, int) or factor < 2:
            raise ValueError(f"data.condition.factor must be a whole number of at least 2, got {factor!r}")
        self.factor = factor

    def shape(self, sample_shape: Sequence[int]) -> tuple[int, int, int]:
        """See `Condition`."""
        channels, height, width = super().shape(sample_shape)
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"data.condition.factor={self.factor} does not divide data.image_size=[{height},{width}]; give "
                "multiples of it, or another factor"
            )
        return channels, height // self.factor, width // self.factor

    def make(self, images: Tensor, index: Tensor, passes: Tensor | None = None) -> dict[str, Tensor]:
        """See `Condition`."""
        height, width = images.shape[-2:]
        return {"condition": resize(images, (height // self.factor, width // self.factor))}

    def protocol(self) -> dict[str, Any]:
        """See `Condition`."""
        return {"condition": self.name, "factor": self.factor, "filter": "bicubic with antialiasing, torch"}


class Noisy(Condition):
    """Independent normal noise on each value, rounded and clamped: the task is to remove it.

    Args:
        std: standard deviation in levels of 0..255, more than 0 and at most 255.
        seed: 0 or more.
    """

    name = "noisy"

    def __init__(self, *, std: float, seed: int) -> None:
        if not 0 < std <= 255:
            raise ValueError(f"data.condition.std is in levels, more than 0 and at most 255, got {std!r}")
        self.std = float(std)
        self.seed = check_seed("data.condition.seed", seed)

    def make(self, images: Tensor, index: Tensor, passes: Tensor | None = None) -> dict[str, Tensor]:
        """See `Condition`."""
        noise = np.empty(images.shape, dtype=np.int16)
        for n, (number, pass_number) in enumerate(_samples(index, passes)):
            random = sample_generator(self.seed, "noise", number, pass_number)
            # Rounded here, as levels are whole, so that each device adds integers and gets the same bits.
            noise[n] = np.rint(self.std * random.standard_normal(images.shape[1:], dtype=np.float32))
        noisy = images.to(torch.int16) + send(torch.from_numpy(noise), images.device)
        return {"condition": noisy.clamp(0, 255).to(torch.uint8)}

    def protocol(self) -> dict[str, Any]:
        """See `Condition`."""
        return {"condition": self.name, "std": self.std, "seed": self.seed}


class JPEG(Condition):
    """What is left of an image after JPEG, by Pillow, with colours at half the size: the task is to repair it.

    It is done on the CPU: images on another device are waited for.

    Args:
        quality: from 1 to 95, or [low, high] between which that of each sample is uniform.
        seed: 0 or more.
    """

    name = "jpeg"

    def __init__(self, *, quality: int | Sequence[int], seed: int) -> None:
        self.quality = whole_interval("quality", quality, 1, 95)
        self.seed = check_seed("data.condition.seed", seed)

    def make(self, images: Tensor, index: Tensor, passes: Tensor | None = None) -> dict[str, Tensor]:
        """See `Condition`."""
        low, high = self.quality
        compressed = torch.empty(images.shape, dtype=torch.uint8)
        for n, (number, pass_number) in enumerate(_samples(index, passes)):
            quality = int(sample_generator(self.seed, "jpeg", number, pass_number).integers(low, high + 1))
            compressed[n] = _through_jpeg(images[n].cpu(), quality)
        return {"condition": send(compressed, images.device)}

    def protocol(self) -> dict[str, Any]:
        """See `Condition`."""
        return {
            "condition": self.name,
            "quality": list(self.quality),
            "subsampling": SUBSAMPLING,
            "codec": "Pillow",
            "seed": self.seed,
        }


class Outline(Condition):
    """Contours in white on black: the largest less the smallest level of each 3x3 pixels, as one channel.

    The same for light strokes on dark ground as for dark ones on light ground. Contours are 2 pixels wide, and
    strokes of 1 or 2 pixels have no inside left: they come out as wider strokes.
    """

    name = "outline"

    def shape(self, sample_shape: Sequence[int]) -> tuple[int, int, int]:
        """See `Condition`."""
        _, height, width = super().shape(sample_shape)
        return 1, height, width

    def make(self, images: Tensor, index: Tensor, passes: Tensor | None = None) -> dict[str, Tensor]:
        """See `Condition`."""
        grey = (luma(images) if images.shape[1] == 3 else images).float()  # which holds all levels
        largest, smallest = (sign * max_pool2d(sign * grey, 3, stride=1, padding=1) for sign in (1, -1))
        return {"condition": (largest - smallest).to(torch.uint8)}

    def protocol(self) -> dict[str, Any]:
        """See `Condition`."""
        return {"condition": self.name, "window": 3, "weights": list(LUMA)}


class Masked(Condition):
    """The image with a hole of one level, and the mask that says where the hole is: the task is to fill it.

    Args:
        masks: the hole of each sample.
        fill: level of the hole, 0 to 255, in all channels.
        vary: whether training sees a new hole at each pass; otherwise a sample keeps that of evaluation.
    """

    name = "masked"
    masked = True

    def __init__(self, *, masks: Holes, fill: int, vary: bool) -> None:
        if not isinstance(fill, int) or not 0 <= fill <= 255:
            raise ValueError(f"data.condition.fill must be a whole number from 0 to 255, got {fill!r}")
        self.masks, self.fill, self.vary = masks, fill, vary

    def shape(self, sample_shape: Sequence[int]) -> tuple[int, int, int]:
        """See `Condition`."""
        channels, height, width = super().shape(sample_shape)
        self.masks.check(height, width)
        return channels, height, width

    def make(self, images: Tensor, index: Tensor, passes: Tensor | None = None) -> dict[str, Tensor]:
        """See `Condition`."""
        height, width = images.shape[-2:]
        samples = _samples(index, passes if self.vary else None)
        holes = [self.masks.at(number, pass_number, height, width) for number, pass_number in samples]
        return self.covered(images, send(torch.stack(holes), images.device))

    def covered(self, images: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What `make` gives, of (B, C, H, W) uint8 images and (B, 1, H, W) bool masks, True in the hole."""
        return {"condition": images.masked_fill(mask, self.fill), "mask": mask}

    def with_masks(self, masks: Holes) -> "Masked":
        """The same with other holes."""
        return Masked(masks=masks, fill=self.fill, vary=self.vary)

    def protocol(self) -> dict[str, Any]:
        """See `Condition`; `vary` is of training alone."""
        return {"condition": self.name, "fill": self.fill, "masks": self.masks.protocol()}

    def held_out(self) -> "Masked":
        """See `Condition`."""
        return self.with_masks(self.masks.held_out())

    def identity(self) -> str | None:
        """See `Condition`."""
        return self.masks.identity()

    def content(self) -> str | None:
        """See `Condition`."""
        return self.masks.content()


def luma(images: Tensor) -> Tensor:
    """(B, 1, H, W) uint8 of (B, 3, H, W) uint8, rounded to the nearest level; in integers, the same on all devices."""
    red, green, blue = (weight * images[:, n : n + 1].to(torch.int32) for n, weight in enumerate(LUMA))
    return torch.div(red + green + blue + 500, 1000, rounding_mode="floor").to(torch.uint8)


def _samples(index: Tensor, passes: Tensor | None) -> Iterator[tuple[int, int | None]]:
    """Index and pass of each sample, the latter None in evaluation."""
    numbers = index.tolist()
    return zip(numbers, [None] * len(numbers) if passes is None else passes.tolist(), strict=True)


def _through_jpeg(image: Tensor, quality: int) -> Tensor:
    """(C, H, W) uint8 on the CPU, of one channel or three, compressed and read again."""
    file = io.BytesIO()
    pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
    Image.fromarray(pixels.numpy()).save(file, "JPEG", quality=quality, subsampling=SUBSAMPLING)
    with Image.open(file) as stored:
        return torch.from_numpy(np.array(stored)).view(*pixels.shape[:2], -1).permute(2, 0, 1)
