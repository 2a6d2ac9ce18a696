"""Whether a linear classifier of features tells outputs from their targets: P-IDS and U-IDS (Zhao et al. 2021)."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.metrics.base import Block, BlockMetric
from gan_lab.metrics.moments import finite_matrix


def discriminative_scores(*, real: Tensor, fake: Tensor, held_out: bool) -> tuple[float, float]:
    """P-IDS and U-IDS of pairs, by scikit-learn's linear SVM as the authors' code sets it (Zhao et al. 2021).

    Squared hinges, C = 1, features as they are, no weights for anything; that code scores the very pairs on which the
    SVM is fitted.

    Args:
        real: (N, d) float64 features of the targets, N >= 2.
        fake: (N, d) of the outputs, in the same order.
        held_out: fit on the pairs of even number and score those of odd number.
    Returns:
        The share of pairs whose output seems more real than its target, and the share of pictures taken for what they
        are not; a picture on the boundary is taken for a fake.
    """
    from sklearn.svm import LinearSVC

    fitted = slice(None, None, 2) if held_out else slice(None)
    scored = slice(1, None, 2) if held_out else slice(None)
    features = torch.cat([real[fitted], fake[fitted]]).numpy()
    is_real = [True] * len(real[fitted]) + [False] * len(fake[fitted])
    machine = LinearSVC(dual=False).fit(features, is_real)  # solved in the primal, where nothing is drawn
    of_real, of_fake = (torch.from_numpy(machine.decision_function(side[scored].numpy())) for side in (real, fake))
    wrong = (of_real <= 0).sum() + (of_fake > 0).sum()
    return (of_fake > of_real).double().mean().item(), wrong.item() / (2 * len(of_real))


class PairedDiscriminativeScore(BlockMetric):
    """P-IDS in [0, 1], and "_u_ids", U-IDS in [0, 1]; published percentages are 100 times as much.

    Outputs that nothing tells from their targets have one half of each, outputs that are told at once 0. An output
    whose features are its target's own, to the bit, counts as one half in U-IDS and as 0 in P-IDS.

    On few pairs the SVM learns all of them by heart, and both scores are 0: it wants many more pairs than there are
    features. `held_out` shows it, since that SVM is asked of pairs that it has not seen, and chance is one half.

    Args:
        held_out: see `discriminative_scores`; "_held_out" in the name.
        extractor: see `BlockMetric`; Inception in the paper.
    """

    name = "p_ids"
    higher_is_better = True
    needs = ("features", "probe")
    probe_needs = ("targets",)
    uses_reference = False

    def __init__(self, *, held_out: bool, extractor: str | None) -> None:
        super().__init__(extractor)
        self.held_out = held_out
        if held_out:
            self.name = f"{self.name}_held_out"

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        pairs = "fitted on pairs of even number, scored on the others" if self.held_out else "fitted and scored on all"
        return {"metric": self.name, "classifier": "linear SVM, squared hinge, C = 1, scikit-learn", "pairs": pairs}

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(B, d) float32 features of the targets of the samples that count."""
        assert block.targets is not None  # says the stage, of all that `probe_needs` names
        return block.extractor(block.targets[: block.count].to(block.device))["features"].cpu()

    def compute(self) -> dict[str, float]:
        """Of all pairs so far."""
        fake = finite_matrix(self.values("features"), "generated features")
        real = finite_matrix(self.values("probe"), "features of targets")
        paired, unpaired = discriminative_scores(real=real, fake=fake, held_out=self.held_out)
        return {"": paired, "_u_ids": unpaired}
