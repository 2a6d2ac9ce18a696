"""What discriminators share: features, a linear unit, and how labels come in."""

from torch import Tensor, nn

from gan_lab.layers.conditioning import checked_classes, given


class Discriminator(nn.Module):
    """What discriminators of one logit share: features, then a linear unit, which may know the class.

    A subclass has `features` and sets `output`, a linear layer of one unit.

    Args:
        conditioning: "none"; "concatenation": labels enter as further channels, or columns, of the sample (Mirza and
            Osindero 2014); "projection": the inner product of the features with an embedding of the class is added to
            the logit (Miyato and Koyama 2018, equation 3).
        num_classes: of the labels; None or 0 without any.
    Attributes:
        label_channels: how many channels labels add to the sample.
        output: from features to the logit.
        embedding: of the classes, for "projection".
        judgement: see `GANModule`.
    Raises:
        ValueError: unknown `conditioning`, or one that needs classes without them.
    """

    judgement = "logits"
    output: nn.Linear

    def __init__(self, conditioning: str, num_classes: int | None) -> None:
        super().__init__()
        classes = checked_classes("discriminator", conditioning, num_classes, ("none", "concatenation", "projection"))
        self.label_channels = classes if conditioning == "concatenation" else 0
        self._projected_classes = classes if conditioning == "projection" else 0
        self.embedding: nn.Embedding | None = None

    @property
    def feature_dim(self) -> int:
        """Columns of `features`, for the heads of further losses."""
        return self.output.in_features

    def embed_classes(self) -> None:
        """Make the embedding of a projection, once `output` is there."""
        if self._projected_classes:
            self.embedding = nn.Embedding(self._projected_classes, self.feature_dim)
            nn.init.xavier_uniform_(self.embedding.weight)

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
