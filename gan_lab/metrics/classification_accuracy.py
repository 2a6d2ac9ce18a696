"""Classification accuracy score (Ravuri and Vinyals 2019), also GAN-train and GAN-test (Shmelkov et al. 2018)."""

import warnings
from typing import Any

import torch
from torch import Tensor

from gan_lab.extractors.classifier import LABEL_SMOOTHING, WEIGHT_DECAY, WIDTHS, ResidualClassifier, accuracy
from gan_lab.extractors.classifier import fit_classifier as fit
from gan_lab.metrics.base import BlockMetric
from gan_lab.metrics.reference import Reference


class ClassificationAccuracy(BlockMetric):
    """How well a classifier of generated images knows real ones, and the other way round.

    "" is GAN-train: a classifier trained on all generated images and their classes, its accuracy on the reference; it
    falls with classes that are missing, mixed up, or poor in variety, as recall does. "_test" is GAN-test: trained on
    the reference, its accuracy on generated images; it falls with images that are not of their class, as precision
    does. Each is measured on the set that its classifier has not seen.

    The papers' reference for GAN-train is the test split, for GAN-test the training split. The stage has one for all
    metrics, `evaluation.reference`, which is part of every protocol: choose test for "" as published, and know that the
    classifier of "_test" has then learnt that split. The papers train a ResNet; here it is `ResidualClassifier`, on
    rank 0 and on the CPU, so that values compare among runs of gan_lab alone. The classifier of the reference is kept
    until another reference is set. An epoch of 2,000 images of 28x28 takes some 6 seconds of one core. Images are read
    batch by batch from where the stage keeps them (see `BlockStore`): in a temporary file where they are many.

    Args:
        epochs, batch_size, lr, shift, flip, seed, threads: see `gan_lab.extractors.classifier.fit_classifier`; 1 thread
            or more, since another number rounds differently.
        extractor: see `BlockMetric`; it has no part.
    """

    name = "cas"
    higher_is_better = True
    needs = ("images", "labels")
    in_space = False
    uses_reference = True

    def __init__(
        self,
        *,
        epochs: int,
        batch_size: int,
        lr: float,
        shift: int,
        flip: bool,
        seed: int,
        threads: int,
        extractor: str | None = None,
    ) -> None:
        super().__init__(extractor)
        if threads < 1:
            raise ValueError(f"threads must be 1 or more, got {threads}")
        self.settings: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": batch_size,
            "lr": lr,
            "shift": shift,
            "flip": flip,
            "seed": seed,
            "threads": threads,
        }
        # In a list, where it is no submodule: a metric's state is its blocks alone.
        self._of_reference: list[ResidualClassifier] = []

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        widths = "-".join(map(str, WIDTHS))
        return {
            "metric": self.name,
            "classifier": f"residual {widths}, weight decay {WEIGHT_DECAY}, label smoothing {LABEL_SMOOTHING}",
            **self.settings,
        }

    def set_reference(self, reference: Reference) -> None:
        """See `BlockMetric`."""
        if reference is not self._reference:
            self._of_reference = []
        super().set_reference(reference)

    def compute(self) -> dict[str, float]:
        """Of all samples so far and the reference.

        Raises:
            ValueError: a reference without labels or of another size, or a class that it does not have.
        """
        fake, fake_labels = self.values("images"), self.values("labels")
        real, real_labels = self._real()
        if real.shape[1:] != fake.shape[1:]:
            raise ValueError(f"{self.name}: reference is {tuple(real.shape[1:])}, samples are {tuple(fake.shape[1:])}")
        classes, highest = int(real_labels.max()) + 1, int(fake_labels.max())
        if highest >= classes:
            raise ValueError(f"{self.name}: samples of class {highest}, the reference has 0 .. {classes - 1}")
        threads = self.settings["threads"]
        of_fake = fit(fake, fake_labels, classes=classes, **self.settings)
        if not self._of_reference:
            self._of_reference = [fit(real, real_labels, classes=classes, **self.settings)]
        return {
            "": accuracy(of_fake, real, real_labels, threads=threads),
            "_test": accuracy(self._of_reference[0], fake, fake_labels, threads=threads),
        }

    def _real(self) -> tuple[Tensor, Tensor]:
        if self.reference.labels is None:
            raise ValueError(f"{self.name} needs a reference with labels: leave it out for data without classes")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable.*")  # nothing here writes
            return torch.from_numpy(self.reference.images), self.reference.labels
