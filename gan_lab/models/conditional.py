"""What conditional GANs share: labels beside the latents, and networks that take both."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from gan_lab.models.adversarial import GANModule
from gan_lab.sampling import LabelledInputs


class ConditionalGANModule(GANModule):
    """A generator of latents and labels against a discriminator that may know the labels.

    Args:
        num_classes: of the labels, 2 or more.
        label_distribution: of fakes: "uniform", or "data" for labels as frequent as among the training images.
        **settings: see `GANModule` and `Plumbing`. The generator is (B, latent_dim), (B,) int64 -> (B, *sample_shape),
            the discriminator (B, *sample_shape), (B,) int64 -> (B,) logits.
    Attributes:
        asks: whether D is to find the class, rather than to be conditioned on it.
    Raises:
        ValueError: a network that is not conditioned on the class where it should be.
    """

    asks: ClassVar[bool] = False
    inputs: LabelledInputs

    def __init__(self, *, num_classes: int | None, label_distribution: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._check_labels_are_told()
        self.inputs = LabelledInputs(
            settings["latent_dim"], settings["latent_distribution"], num_classes, label_distribution
        )

    @classmethod
    def inputs_from(cls, settings: Mapping[str, Any]) -> LabelledInputs:
        law = settings["label_distribution"]
        return LabelledInputs(settings["latent_dim"], settings["latent_distribution"], settings["num_classes"], law)

    def labels(self, count: int) -> Tensor:
        """(count,) int64 fresh labels of fakes on the module's device: this rank's slice of the global draw."""
        return self.inputs.labels(self.draws, count)

    def untold_feature_dim(self, *, projection: bool) -> int:
        """`feature_dim`, for a head that finds the class in D's features.

        Args:
            projection: whether D's logit may know the class, after its features.
        Raises:
            ValueError: D has no features, or is conditioned on the class.
        """
        width = self.feature_dim()
        if self._joined() or (self._projected() and not projection):
            raise ValueError(
                f"{type(self).__name__.lower()} asks D for the class, and D is conditioned on it; set "
                "model.discriminator.conditioning=none"
            )
        return width

    def _joined(self) -> bool:
        return bool(getattr(self.discriminator, "label_channels", 0))

    def _projected(self) -> bool:
        return getattr(self.discriminator, "embedding", None) is not None

    def _check_labels_are_told(self) -> None:
        """Of networks that say what they are conditioned on; one of a person's own is believed."""
        name = type(self).__name__.lower()
        if getattr(self.generator, "num_classes", None) == 0:
            raise ValueError(
                f"{name}'s G makes samples of a class, and {type(self.generator).__name__} is not "
                "conditioned on it; set model.generator.conditioning=concatenation (or batch_norm)"
            )
        says = hasattr(self.discriminator, "label_channels")
        if says and not (self.asks or self._joined() or self._projected()):
            raise ValueError(
                f"{name}'s D judges samples as of a class, and {type(self.discriminator).__name__} is not "
                "conditioned on it; set model.discriminator.conditioning=concatenation (or projection)"
            )

    def logits(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) logits of D for images of these classes."""
        return self.discriminator(images, labels)

    def on_fit_start(self) -> None:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        labels = getattr(data, "training_labels", None)
        if labels is None:
            raise ValueError(f"{type(self).__name__} needs labelled data, and {data.name} has no labels")
        self.inputs.learn(labels)
        super().on_fit_start()
