"""How far a translator's outputs are from their sources: near 0 it has done nothing."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.data.images import unchanged
from gan_lab.metrics.base import Block, BlockMetric
from gan_lab.metrics.moments import finite_matrix


class CopyDistance(BlockMetric):
    """Mean absolute difference in [0, 1] of outputs and their sources, as pictures of the outputs' channels and size.

    "" is the mean over pictures; "_of_targets" that of the targets, where they are known: how far a right output would
    be. An output that is much nearer to its source than that is a copy. Neither low nor high is better.

    Args:
        extractor: see `BlockMetric`; it has no part.
    """

    name = "copy_distance"
    higher_is_better = None
    needs = ("probe",)
    probe_needs = ("sources",)
    in_space = False
    uses_reference = False
    intervals = True
    of_each = True
    minimum = 1

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        source = "source, grey repeated, enlarged by bicubic a = -0.75, rounded"
        return {"metric": self.name, "from": source, "range": "uint8 as [0, 1]", "mean": "over pictures"}

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(B, 2) float64 of the samples that count: distance of the output, and of the target, or NaN.

        Raises:
            ValueError: sources of which there are no such pictures.
        """
        assert block.sources is not None  # says the stage, of all that `probe_needs` names
        images = block.images[: block.count].cpu()
        try:
            sources = unchanged(block.sources[: block.count].cpu(), images.shape[1:])
        except ValueError as error:
            raise ValueError(f"{error}; leave {self.name} out, as such an output is no copy") from error
        targets = None if block.targets is None else block.targets[: block.count].cpu()
        # A picture at a time: the float64 of a block of large ones would not fit beside the networks.
        rows = []
        for number, source in enumerate(sources.unbind()):
            target = float("nan") if targets is None else _distance(targets[number], source)
            rows.append([_distance(images[number], source), target])
        return torch.tensor(rows, dtype=torch.float64)

    def per_picture(self) -> Tensor:
        """(N,) float64: distance of each output; see `BlockMetric`."""
        return self.values("probe")[:, 0]

    def compute(self) -> dict[str, float]:
        """Of all pictures so far."""
        distances = finite_matrix(self.values("probe")[:, :1], "distances", minimum=1)
        of_targets = self.values("probe")[:, 1].mean().item()
        known = {} if of_targets != of_targets else {"_of_targets": of_targets}
        return {"": distances.mean().item()} | known


def _distance(picture: Tensor, source: Tensor) -> float:
    return (picture.double() - source.double()).abs().mean().item() / 255
