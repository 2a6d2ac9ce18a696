"""What discriminators share: features, a linear unit, and how labels come in."""

from torch import Tensor, nn

from gan_lab.layers.conditioning import checked_classes, given
from gan_lab.layers.order import layers_in_order


class Discriminator(nn.Module):
    """What discriminators of one logit share: features, then a linear unit, which may know the class.

    A subclass has `features` and sets `output`, a linear layer of one unit; one with a conditioning of its own also has
    `judge`.

    Args:
        conditioning: "none"; "concatenation": labels enter as further channels, or columns, of the sample (Mirza and
            Osindero 2014); "projection": the inner product of the features with an embedding of the class is added to
            the logit (Miyato and Koyama 2018, equation 3).
        num_classes: of the labels; None or 0 without any.
        further: ways of conditioning that the subclass has besides.
    Attributes:
        num_classes: of the labels; 0 where there is no conditioning.
        label_channels: how many channels labels add to the sample.
        output: from features to the logit.
        embedding: of the classes, for "projection".
        judgement: see `GANModule`.
    Raises:
        ValueError: unknown `conditioning`, or one that needs classes without them.
    """

    judgement = "logits"
    output: nn.Linear

    def __init__(self, conditioning: str, num_classes: int | None, *, further: tuple[str, ...] = ()) -> None:
        super().__init__()
        choices = ("none", "concatenation", "projection", *further)
        self.num_classes = classes = checked_classes("discriminator", conditioning, num_classes, choices)
        self.label_channels = classes if conditioning == "concatenation" else 0
        self._projected_classes = classes if conditioning == "projection" else 0
        self.embedding: nn.Embedding | None = None

    def layers_from_image(self) -> dict[str, list[nn.Parameter]]:
        """Layers from the image on, for `model.freeze`; one that registers them in another order overrides it."""
        return layers_in_order(self)

    @property
    def feature_dim(self) -> int:
        """Columns of `features`, for the heads of further losses."""
        return self.output.in_features

    def embed_classes(self, initialization: str = "xavier") -> None:
        """Make the embedding of a projection, once `output` is there.

        With `initialization` "orthogonal" it begins so, as in BigGAN's and StudioGAN's code, else by xavier.
        """
        if self._projected_classes:
            self.embedding = nn.Embedding(self._projected_classes, self.feature_dim)
            draw = nn.init.orthogonal_ if initialization == "orthogonal" else nn.init.xavier_uniform_
            draw(self.embedding.weight)

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, *sample_shape), (B,) int64 -> (B, feature_dim): what the linear unit sees."""
        raise NotImplementedError

    def judge(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, feature_dim), and (B,) int64 for a projection -> (B,) logits."""
        logits = self.output(features).squeeze(1)
        return logits if self.embedding is None else logits + (self.embedding(given(labels)) * features).sum(1)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, *sample_shape), and (B,) int64 of a conditional one -> (B,) logits."""
        return self.judge(self.features(samples, labels), labels)
