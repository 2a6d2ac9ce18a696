"""What metrics share that hold a translator's output against its target: which picture, which pixels, one value."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.data.images import unchanged
from gan_lab.metrics.base import Block, BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.metrics.shares import by_share, checked_shares

OF = {  # what is scored -> what a protocol says of it, and what stands in the name
    "output": ("output", ""),
    "source": ("source, grey repeated, enlarged by bicubic a = -0.75, rounded", "_copy"),
    "mean_fill": ("source, its hole filled with the mean of what is known of each channel, rounded", "_mean_fill"),
}
REGIONS = ("whole", "hole", "known")
CHANNELS = ("rgb", "y")
# Of red, green and blue in [0, 1] (ITU-R BT.601, as in MATLAB's rgb2ycbcr): Y from 16 to 235, of 255.
LUMA, LUMA_OF_BLACK = (65.481, 128.553, 24.966), 16.0


def luma(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) float64 in [0, 1] -> (B, 1, H, W) float64 in [16 / 255, 235 / 255], not rounded."""
    weights = pictures.new_tensor(LUMA).view(3, 1, 1)
    return ((pictures * weights).sum(dim=1, keepdim=True) + LUMA_OF_BLACK) / 255


def mean_filled(sources: Tensor, masks: Tensor) -> Tensor:
    """What the simplest classical repair makes: each hole of the mean level of what is known of the channel.

    Args:
        sources: (B, C, H, W) uint8.
        masks: (B, 1, H, W) bool, True in the hole.
    Returns:
        (B, C, H, W) uint8, rounded; mid-grey, 128, where nothing is known.
    """
    known = ~masks.expand_as(sources)
    sums = torch.where(known, sources, 0).double().sum(dim=(2, 3), keepdim=True)
    means = (sums / known.sum(dim=(2, 3), keepdim=True)).nan_to_num(nan=128.0).round().to(torch.uint8)
    return torch.where(known, sources, means)


def mean_of_picture(errors: Tensor, region: Tensor | None) -> Tensor:
    """The mean over a picture's channels and pixels, or those in a region.

    Args:
        errors: (B, C, H, W) float64.
        region: (B, 1, H, W) bool; None for all pixels.
    Returns:
        (B,) float64; NaN where the region has no pixel.
    """
    if region is None:
        return errors.mean(dim=(1, 2, 3))
    inside = region.expand_as(errors)
    return torch.where(inside, errors, 0.0).sum(dim=(1, 2, 3)) / inside.sum(dim=(1, 2, 3))


class PairedMetric(BlockMetric):
    """One value per picture, against its target: "" their mean, "_worst" the worst one.

    Within a region, "_left_out" counts the pictures that have no pixel of it; they are part of no other number.
    With `shares`, "_share_10_20" is the mean over the pictures whose hole takes more than 10 % and at most 20 % of
    them, and "_share_10_20_count" their number; where that is 0, there is no mean. What deviates from the usual is told
    by the name: `psnr_y_cut4px`, `psnr_hole`, `psnr_copy`.

    Args:
        of: "output" of the network; "source", what doing nothing would score (see `gan_lab.data.images.unchanged`):
            "_copy" in the name; "mean_fill", what `mean_filled` would: "_mean_fill".
        region: "whole" pictures; the "hole" of their masks; what is "known", all else.
        channel: "rgb" for all channels as they are; "y" for the luma of RGB (see `luma`).
        border: so many pixels are cut from each edge first, 0 or more.
        shares: rising edges from 0 to 1 between which the hole's share of a picture falls, as [0, 0.1, 0.2, 0.4, 1]:
            an edge belongs below it, the first one above it, too. None for no such values.
        extractor: see `BlockMetric`.
    """

    needs: tuple[str, ...] = ("probe",)
    uses_reference = False
    in_space = False
    intervals = True
    of_each = True
    minimum = 1

    def __init__(
        self,
        *,
        of: str,
        region: str,
        channel: str,
        border: int,
        shares: Sequence[float] | None = None,
        extractor: str | None = None,
    ) -> None:
        self.shares = checked_shares(shares)
        if self.shares is not None:
            self.needs = (*self.needs, "hole_share")
        super().__init__(extractor)
        for key, value, known in (("of", of, OF), ("region", region, REGIONS), ("channel", channel, CHANNELS)):
            if value not in known:
                raise ValueError(f"{key} must be one of {', '.join(known)}, got {value!r}")
        if border < 0:
            raise ValueError(f"border must be 0 or more, got {border}")
        self.of, self.region, self.channel, self.border = of, region, channel, border
        marks = (
            "_y" if channel == "y" else "",
            f"_cut{border}px" if border else "",
            f"_{region}" if region != "whole" else "",
            OF[of][1],
        )
        self.name = self.name + "".join(marks)
        self.probe_needs = (
            "targets",
            *(["sources"] if of != "output" else []),
            *(["masks"] if region != "whole" or of == "mean_fill" else []),
        )

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        channel = {"rgb": "all channels", "y": "luma of RGB by BT.601, 16 to 235 of 255, not rounded"}
        return {
            "metric": self.name,
            "of": OF[self.of][0],
            "region": self.region,
            "channel": channel[self.channel],
            "border": self.border,
            "range": "uint8 as [0, 1]",
            "mean": "over pictures",
        } | ({} if self.shares is None else {"shares": self.shares})

    def pair(self, block: Block) -> tuple[Tensor, Tensor]:
        """What is scored and its target, of the pictures that count: (B, C, H, W) uint8 twice, where they are.

        Raises:
            ValueError: they differ in shape, or the source is no such picture.
        """
        assert block.targets is not None  # says the stage, of all that `probe_needs` names
        targets = block.targets[: block.count]
        if self.of == "source":
            assert block.sources is not None
            try:
                return unchanged(block.sources[: block.count], targets.shape[1:]), targets
            except ValueError as error:
                raise ValueError(f"of=source: {error}") from error
        images = block.images[: block.count]
        if self.of == "mean_fill":
            assert block.sources is not None
            assert block.masks is not None
            images = mean_filled(block.sources[: block.count], block.masks[: block.count])
        if images.shape != targets.shape:
            raise ValueError(f"the outputs are {tuple(images.shape[1:])}, their targets {tuple(targets.shape[1:])}")
        return images, targets

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(B,) float64, what `measure` says of each picture that counts.

        Raises:
            ValueError: pictures that do not suit each other, or this metric.
        """
        pairs = zip(*self.pair(block), self._regions(block), strict=True)
        # A picture at a time: the float64 of a block of large ones would not fit beside the networks.
        rows = [
            self.measure(output=self._seen(output), target=self._seen(target), region=region)
            for output, target, region in pairs
        ]
        return torch.cat(rows)

    def measure(self, *, output: Tensor, target: Tensor, region: Tensor | None) -> Tensor:
        """What is kept of pictures, (B,) float64.

        Args:
            output, target: (B, C, H, W) float64 in [0, 1].
            region: (B, 1, H, W) bool, the pixels that count; None for all.
        """
        raise NotImplementedError(f"{self.name} has no measure")

    def per_picture(self) -> Tensor:
        """(N,) float64: the value of each picture since the last reset, in their order; NaN where it is left out."""
        return self.values("probe").double()

    def compute(self) -> dict[str, float]:
        """Of all pictures so far."""
        values = self.per_picture()
        counts = {}
        if self.region != "whole":
            left_out = values.isnan()
            if left_out.all():
                there = "a pixel in its hole" if self.region == "hole" else "a known pixel"
                raise ValueError(f"none of {len(values)} pictures has {there}: take region=whole, or other masks")
            counts, values = {"_left_out": float(left_out.sum())}, values[~left_out]
        values = finite_matrix(values[:, None], "values of pictures", minimum=1)[:, 0]
        worst = values.min() if self.higher_is_better else values.max()
        return {"": values.mean().item(), "_worst": worst.item()} | counts | self._by_share()

    def _by_share(self) -> dict[str, float]:
        if self.shares is None:
            return {}
        values, found = self.per_picture(), {}
        for name, of_share in by_share(self.shares, self.values("hole_share")):
            inside = of_share & ~values.isnan()
            if inside.any():
                found[name] = values[inside].mean().item()
            found[f"{name}_count"] = float(inside.sum())
        return found

    def _seen(self, picture: Tensor) -> Tensor:
        """(C, H, W) uint8 -> (1, C or 1, h, w) float64 in [0, 1] on the CPU, without the border."""
        if self.channel == "y" and len(picture) != 3:
            raise ValueError(f"channel=y is the luma of RGB, and these pictures have {len(picture)} channels")
        values = self._within_border(picture).cpu().double()[None] / 255
        return luma(values) if self.channel == "y" else values

    def _within_border(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        if 2 * self.border >= min(height, width):
            raise ValueError(f"border={self.border} leaves nothing of {height}x{width} pixels")
        return picture[..., self.border : height - self.border, self.border : width - self.border]

    def _regions(self, block: Block) -> list[Tensor | None]:
        """(1, 1, h, w) bool on the CPU for each picture that counts."""
        if self.region == "whole":
            return [None] * block.count
        assert block.masks is not None
        assert block.targets is not None
        masks, shape = block.masks[: block.count], (block.count, 1, *block.targets.shape[2:])
        if masks.shape != shape or masks.dtype != torch.bool:
            raise ValueError(f"masks are bool, {shape}, got {masks.dtype}, {tuple(masks.shape)}")
        inside = masks if self.region == "hole" else ~masks
        return [self._within_border(one).cpu()[None] for one in inside]
