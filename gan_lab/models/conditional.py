"""What conditional GANs share: labels beside the latents, and networks that eat both."""

from collections.abc import Mapping
from typing import Any

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
    """

    inputs: LabelledInputs

    def __init__(self, *, num_classes: int | None, label_distribution: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.inputs = LabelledInputs(
            settings["latent_dim"], settings["latent_distribution"], num_classes, label_distribution
        )

    @classmethod
    def inputs_from(cls, settings: Mapping[str, Any]) -> LabelledInputs:
        law = settings["label_distribution"]
        return LabelledInputs(settings["latent_dim"], settings["latent_distribution"], settings["num_classes"], law)

    def labels(self, count: int) -> Tensor:
        """(count,) int64 fresh labels of fakes on the module's device: this rank's slice of the global draw."""
        return self.inputs.labels(self.draws, count).to(self.device, non_blocking=True)

    def untold_feature_dim(self, *, projection: bool) -> int:
        """`feature_dim`, for a head that finds the class in D's features.

        Args:
            projection: whether D's logit may know the class, after its features.
        Raises:
            ValueError: D has no features, or is told the class.
        """
        width = self.feature_dim()
        joined = getattr(self.discriminator, "label_channels", 0)
        projected = getattr(self.discriminator, "embedding", None) is not None
        if joined or (projected and not projection):
            raise ValueError(
                f"{type(self).__name__.lower()} asks D for the class, and D is told it; set "
                "model.discriminator.conditioning=none"
            )
        return width

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
