"""Whether a linear classifier of features tells outputs from their targets: P-IDS and U-IDS (Zhao et al. 2021)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.metrics.base import Block, BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.metrics.shares import by_share, checked_shares


def parts(held_out: bool) -> tuple[slice, slice]:
    """Which pairs the SVM is fitted on, and which it is asked of: all, or those of even and those of odd number."""
    return (slice(None, None, 2), slice(1, None, 2)) if held_out else (slice(None), slice(None))


def realness(*, real: Tensor, fake: Tensor, held_out: bool) -> tuple[Tensor, Tensor]:
    """How far on the side of reals pictures lie, by scikit-learn's linear SVM as the authors' code sets it.

    Squared hinges, C = 1, features as they are, no weights for anything; that code scores the very pairs on which the
    SVM is fitted (Zhao et al. 2021).

    Args:
        real: (N, d) float64 features of the targets, N >= 2.
        fake: (N, d) of the outputs, in the same order.
        held_out: fit on the pairs of even number and score those of odd number.
    Returns:
        Decision values of the targets and of the outputs that are scored, (n,) float64 each.
    """
    from sklearn.svm import LinearSVC

    fitted, scored = parts(held_out)
    features = torch.cat([real[fitted], fake[fitted]]).numpy()
    is_real = [True] * len(real[fitted]) + [False] * len(fake[fitted])
    machine = LinearSVC(dual=False).fit(features, is_real)  # solved in the primal, where nothing is drawn
    of_real, of_fake = (torch.from_numpy(machine.decision_function(side[scored].numpy())) for side in (real, fake))
    return of_real, of_fake


def discriminative_scores(*, of_real: Tensor, of_fake: Tensor) -> tuple[float, float]:
    """P-IDS and U-IDS of pairs (Zhao et al. 2021).

    Args:
        of_real, of_fake: (n,) float64 decision values of targets and outputs, in the same order, n >= 1.
    Returns:
        The share of pairs whose output seems more real than its target, and the share of pictures taken for what they
        are not; a picture on the boundary is taken for a fake.
    """
    wrong = (of_real <= 0).sum() + (of_fake > 0).sum()
    return (of_fake > of_real).double().mean().item(), wrong.item() / (2 * len(of_real))


class PairedDiscriminativeScore(BlockMetric):
    """P-IDS in [0, 1], and "_u_ids", U-IDS in [0, 1]; published percentages are 100 times as much.

    Outputs that nothing tells from their targets have one half of each, outputs that are told at once 0. An output
    whose features are its target's own, to the bit, counts as one half in U-IDS and as 0 in P-IDS.

    On few pairs the SVM learns all of them by heart, and both scores are 0: it wants many more pairs than there are
    features. `held_out` shows it, since that SVM is asked of pairs that it has not seen, and chance is one half.

    With `shares`, "_share_10_20" and "_u_ids_share_10_20" are those of the pairs whose hole takes more than 10 % and at
    most 20 % of the picture, and "_share_10_20_count" is their number; where that is 0, there are none. They are asked
    of the one SVM, fitted on pairs of all shares: one of each share would be fitted on few pairs, and by heart. So
    weighted by these numbers they make the whole, and a share may have more than one half.

    Args:
        held_out: see `realness`; "_held_out" in the name.
        extractor: see `BlockMetric`; Inception in the paper.
        shares: rising edges from 0 to 1, see `gan_lab.metrics.paired.PairedMetric`; None for no such values.
    """

    name = "p_ids"
    higher_is_better = True
    needs: tuple[str, ...] = ("features", "probe")
    probe_needs = ("targets",)
    uses_reference = False

    def __init__(self, *, held_out: bool, extractor: str | None, shares: Sequence[float] | None = None) -> None:
        self.shares = checked_shares(shares)
        if self.shares is not None:
            self.needs = (*self.needs, "hole_share")
        super().__init__(extractor)
        self.held_out = held_out
        if held_out:
            self.name = f"{self.name}_held_out"

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        pairs = "fitted on pairs of even number, scored on the others" if self.held_out else "fitted and scored on all"
        settings = {"metric": self.name, "classifier": "linear SVM, squared hinge, C = 1, scikit-learn", "pairs": pairs}
        of_shares = "asked of the one classifier of all pairs fitted"
        return settings | ({} if self.shares is None else {"shares": self.shares, "by_share": of_shares})

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(B, d) float32 features of the targets of the samples that count."""
        assert block.targets is not None  # says the stage, of all that `probe_needs` names
        return block.extractor(block.targets[: block.count].to(block.device))["features"].cpu()

    def compute(self) -> dict[str, float]:
        """Of all pairs so far."""
        fake = finite_matrix(self.values("features"), "generated features")
        real = finite_matrix(self.values("probe"), "features of targets")
        of_real, of_fake = realness(real=real, fake=fake, held_out=self.held_out)
        paired, unpaired = discriminative_scores(of_real=of_real, of_fake=of_fake)
        scores = {"": paired, "_u_ids": unpaired}
        if self.shares is not None:
            _, scored = parts(self.held_out)
            for name, inside in by_share(self.shares, self.values("hole_share")[scored]):
                if inside.any():
                    paired, unpaired = discriminative_scores(of_real=of_real[inside], of_fake=of_fake[inside])
                    scores |= {name: paired, f"_u_ids{name}": unpaired}
                scores[f"{name}_count"] = float(inside.sum())
        return scores
