"""Whether a classifier sees in a translator's output the class of its source."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.metrics.base import Block, BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.metrics.shares import by_share, checked_shares

BEFORE = ("verdict", "label")


class LabelKept(BlockMetric):
    """Share of the outputs in [0, 1] in which the extractor's highest logit is the class that their source had.

    A source goes into the extractor as it is, and is brought to the channels and size that this wants as any picture
    is: grey repeated, colours averaged, resized. An extractor that has not learnt pictures like the sources (outlines,
    say) or like the outputs says little of either.

    With `shares`, "_share_10_20" is the share of outputs that kept their class, of those whose hole takes more than
    10 % and at most 20 % of the picture, and "_share_10_20_count" their number; where that is 0, there is no value.

    Args:
        before: what class a source had: "verdict", the one that the extractor sees in it, right or wrong; "label", the
            one that the data set says ("label_kept_true" in the name), where logits must be of the data's classes.
        extractor: see `BlockMetric`; a classifier.
        shares: rising edges from 0 to 1, see `gan_lab.metrics.paired.PairedMetric`; None for no such values.
    """

    name = "label_kept"
    higher_is_better = True
    needs: tuple[str, ...] = ("logits", "probe")
    uses_reference = False
    intervals = True
    of_each = True
    minimum = 1

    def __init__(self, *, before: str, extractor: str | None, shares: Sequence[float] | None = None) -> None:
        self.shares = checked_shares(shares)
        if self.shares is not None:
            self.needs = (*self.needs, "hole_share")
        super().__init__(extractor)
        if before not in BEFORE:
            raise ValueError(f"before must be one of {', '.join(BEFORE)}, got {before!r}")
        self.before = before
        self.probe_needs = ("sources",) if before == "verdict" else ("labels",)
        if before == "label":
            self.name = f"{self.name}_true"

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        before = {"verdict": "highest logit of the source as it is", "label": "label of the data set"}
        settings = {"metric": self.name, "before": before[self.before], "after": "highest logit of the output"}
        return settings | ({} if self.shares is None else {"shares": self.shares})

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(B,) int64 classes of the sources of the samples that count.

        Raises:
            ValueError: sources that are no pictures to an extractor.
        """
        if self.before == "label":
            assert block.labels is not None  # says the stage, of all that `probe_needs` names
            return block.labels[: block.count]
        assert block.sources is not None
        if block.sources.shape[1] not in (1, 3, 4):
            raise ValueError(
                f"sources of {block.sources.shape[1]} channels are no pictures to {block.extractor.name}, which takes "
                "1, 3 or 4; set before=label where the data have labels, or leave the metric out"
            )
        return block.extractor(block.sources[: block.count].to(block.device))["logits"].argmax(dim=1).cpu()

    def check(self, *values: Tensor) -> None:
        """Raise ValueError where a label is beyond the logits."""
        logits, before, *_ = values
        if int(before.max()) >= logits.shape[1]:
            raise ValueError(
                f"a sample of class {int(before.max())}, and the extractor knows 0 .. {logits.shape[1] - 1}: take an "
                "extractor of the data's classes, such as one made by gan_lab.fit_extractor, or before=verdict"
            )

    def per_picture(self) -> Tensor:
        """(N,) float64: 1 where the class is kept, 0 where it is not; see `BlockMetric`."""
        logits, before = finite_matrix(self.values("logits"), "generated logits", minimum=1), self.values("probe")
        self.check(logits, before)
        return (logits.argmax(dim=1) == before).double()

    def compute(self) -> dict[str, float]:
        """Of all samples so far."""
        kept = self.per_picture()
        scores = {"": kept.mean().item()}
        if self.shares is not None:
            for name, inside in by_share(self.shares, self.values("hole_share")):
                if inside.any():
                    scores[name] = kept[inside].mean().item()
                scores[f"{name}_count"] = float(inside.sum())
        return scores
