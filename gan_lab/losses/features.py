"""Distances of pictures in the feature maps of another network (Johnson et al. 2016, section 3.2)."""

from torch import Tensor


def feature_distance(*, real_maps: Tensor, fake_maps: Tensor) -> Tensor:
    """mean |F(x) - F(G)| over channels and positions (Wang et al. 2018's code; Johnson et al. square it).

    Args:
        real_maps: (B, ...) maps, or (B, d) features, of the targets; no gradient is taken of them.
        fake_maps: as `real_maps`, of what was made.
    Returns:
        (B,).
    """
    difference = (fake_maps - real_maps.detach()).abs()
    return difference.flatten(1).mean(1)
