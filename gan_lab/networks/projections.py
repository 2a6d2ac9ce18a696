"""What patches of feature maps are compared by."""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_lab.layers.checks import at_least
from gan_lab.layers.initialization import initialize

FEWEST = 1e-7  # under the norm of a patch that has none


class PatchProjections(nn.Module):
    """A small network for each of several feature maps, from a patch to a vector of norm 1 (Park et al. 2020, CUT).

    Args:
        channels: of the feature maps.
        width: of the vectors, and of the hidden layer, 1 or more (paper: 256).
    """

    def __init__(self, *, channels: Sequence[int], width: int) -> None:
        super().__init__()
        at_least("width", width, 1)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width)) for inputs in channels
        )
        initialize(self.heads, "normal", gain=1.0)

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Of (B, C, H, W) maps each, at (S,) places of their H * W, the vectors: (B, S, width) each."""
        vectors = []
        for head, features, chosen in zip(self.heads, maps, places, strict=True):
            vector = head(features.flatten(2).index_select(2, chosen).transpose(1, 2))
            vectors.append(vector / (vector.norm(dim=2, keepdim=True) + FEWEST))
        return vectors
