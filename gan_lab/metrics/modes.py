"""Modes that a generator reaches, and the KL divergence of how often from how often it should.

Conventions are those of Metz et al. 2017 (unrolled GAN), Srivastava et al. 2017 (VEEGAN) and Lin et al. 2018 (PacGAN):
KL(generated || data), natural logarithm. Stacked digits (1,000 modes) take 26,000 samples there, mixtures 2,500 or so.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.moments import finite_matrix

# A sample is of high quality within so many standard deviations of the nearest centre (VEEGAN, section 4.1).
REACH = 3.0


def predicted_modes(logits: Tensor, groups: int) -> Tensor:
    """The mode of each sample, from the logits of `groups` judgements of K classes each.

    Args:
        logits: (N, groups * K).
    Returns:
        (N,) int64 in [0, K^groups): the classes as digits to base K, the first group's foremost.
    """
    classes = logits.unflatten(1, (groups, -1)).argmax(dim=2)
    modes = torch.zeros(len(logits), dtype=torch.int64)
    for column in classes.T:
        modes = modes * (logits.shape[1] // groups) + column
    return modes


def divergence(*, real: Tensor, fake: Tensor) -> float:
    """KL(fake || real) of the distributions with these (M,) counts or weights; infinite where `real` misses some."""
    p, q = real.double() / real.sum(), fake.double() / fake.sum()
    found = q > 0
    return (q[found] * (q[found] / p[found]).log()).sum().item()


class ModeCount(BlockMetric):
    """Modes by a classifier's judgement: "" how many have a sample, "_kl" the divergence from the target.

    Digits of labelled data are judged once (`groups` 1: coverage of classes); stacked digits once per channel, by the
    extractor `stacked_digitnet` (`groups` 3: 1,000 modes). "_kl" is left out where it is infinite: the reference has no
    sample of a mode that was generated.

    Args:
        groups: judgements per sample, 1 or more; the logits hold one after another.
        target: "uniform" over all modes, as the papers take stacked digits to be; "reference": as often as its labels,
            which are modes.
        extractor: see `BlockMetric`.
    """

    name = "modes"
    higher_is_better = True
    needs = ("logits",)
    uses_reference = False

    def __init__(self, groups: int, target: str, extractor: str | None) -> None:
        super().__init__(extractor)
        if groups < 1:
            raise ValueError(f"groups must be 1 or more, got {groups}")
        if target not in ("uniform", "reference"):
            raise ValueError(f"target must be uniform or reference, got {target!r}")
        self.groups, self.target = groups, target
        self.uses_reference = target == "reference"

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"metric": self.name, "groups": self.groups, "target": self.target, "kl": "generated || target, nats"}

    def check(self, *values: Tensor) -> None:
        """See `BlockMetric`."""
        (logits,) = values
        if logits.shape[1] % self.groups:
            raise ValueError(f"{logits.shape[1]} logits are not of {self.groups} groups of one size")

    def check_reference(self, count: int, labels: Tensor | None) -> None:
        """See `BlockMetric`."""
        if labels is None:
            raise ValueError("the reference has no labels; take target: uniform")

    def compute(self) -> dict[str, float]:
        """Of all samples so far."""
        logits = finite_matrix(self.values("logits"), "generated logits")
        self.check(logits)
        count = (logits.shape[1] // self.groups) ** self.groups
        fake = predicted_modes(logits, self.groups).bincount(minlength=count)
        real = torch.ones(count) if self.target == "uniform" else self._counts_of_reference(count)
        scores = {"": float((fake > 0).sum())}
        if not (fake[real == 0] > 0).any():
            scores["_kl"] = divergence(real=real, fake=fake)
        return scores

    def _counts_of_reference(self, count: int) -> Tensor:
        labels = self.reference.labels
        self.check_reference(len(self.reference.images), labels)
        assert labels is not None  # says check_reference
        if labels.max() >= count:
            raise ValueError(f"{self.name}: label {int(labels.max())} of the reference is none of {count} modes")
        return labels.bincount(minlength=count)


class GaussianModes(BlockMetric):
    """Modes of a mixture of equal, round Gaussians, by the samples themselves.

    "" how many centres are the nearest one of a sample within 3 standard deviations; "_high_quality" the share of such
    samples; "_kl" the divergence of all samples' nearest centres from equal shares.

    Args:
        centres: of the modes, points of one dimension.
        std: standard deviation of each Gaussian along each axis, above 0.
        extractor: None: it has no part.
    """

    name = "gaussian_modes"
    higher_is_better = True
    needs = ("samples",)
    in_space = False
    uses_reference = False

    def __init__(self, centres: Sequence[Sequence[float]], std: float, extractor: str | None) -> None:
        super().__init__(extractor)
        if not std > 0:
            raise ValueError(f"std must be above 0, got {std}")
        self.centres = torch.tensor([list(centre) for centre in centres], dtype=torch.float64)
        self.std = std

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "metric": self.name,
            "centres": self.centres.tolist(),
            "std": self.std,
            "high_quality": f"within {REACH} standard deviations",
            "kl": "generated || uniform, nats, all samples",
        }

    def check(self, *values: Tensor) -> None:
        """See `BlockMetric`."""
        (samples,) = values
        if samples.shape[1:] != self.centres.shape[1:]:
            raise ValueError(
                f"the centres are points of {self.centres.shape[1]} numbers, the samples of shape "
                f"{tuple(samples.shape[1:])}"
            )

    def compute(self) -> dict[str, float]:
        """Of all samples so far."""
        samples = finite_matrix(self.values("samples"), "samples")
        self.check(samples)
        # By differences: the mixtures are narrow beside the distances of their centres.
        distances, nearest = (samples[:, None] - self.centres).norm(dim=2).min(dim=1)
        good = distances <= REACH * self.std
        shares = nearest.bincount(minlength=len(self.centres))
        return {
            "": float(len(nearest[good].unique())),
            "_high_quality": good.double().mean().item(),
            "_kl": divergence(real=torch.ones(len(self.centres)), fake=shares),
        }
