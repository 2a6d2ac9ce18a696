"""How far a reconstruction lies from its image."""

from torch import Tensor

from gan_lab.layers.precision import full_precision

CERTAIN = 1e-6  # no probability is nearer to 0 or 1: a tanh may reach 1 in float32, and log(1 - 1) is infinite


def bernoulli(*, real: Tensor, reconstruction: Tensor) -> Tensor:
    """-log p(x) of independent pixels that are black or white (Kingma and Welling 2014, appendix C.1).

    Both images are read from [-1, 1] as [0, 1]: a pixel x of the image as a share of white, one y of the reconstruction
    as a probability, sum of -x log y - (1 - x) log(1 - y). For grey pixels this is no likelihood, but it still is least
    where y = x.

    Args:
        real: (B, ...) in [-1, 1].
        reconstruction: of the shape of `real`, in [-1, 1].
    Returns:
        (B,) float32: summed over all but the batch.
    """
    share = 0.5 * (real.float() + 1)
    white = CERTAIN + (0.5 - CERTAIN) * (reconstruction.float() + 1)
    return -(share * white.log() + (1 - share) * (1 - white).log()).flatten(1).sum(1)


def absolute(*, images: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean over pixels of |v - D(v)| (Berthelot et al. 2017, section 3.1, with eta = 1).

    Args:
        images: (B, ...).
        reconstruction: of the shape of `images`.
    Returns:
        (B,) float32.
    Raises:
        ValueError: the shapes differ, as with a D of logits; broadcasting could hide it.
    """
    if images.shape != reconstruction.shape:
        raise ValueError(
            f"D has to give images of the shape {tuple(images.shape)} that it was shown, and gave "
            f"{tuple(reconstruction.shape)}; choose an auto-encoding discriminator: network=began"
        )
    return (images.float() - reconstruction.float()).abs().flatten(1).mean(1)


def squared(*, images: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean over values of (v - r)^2.

    Args:
        images: (B, ...).
        reconstruction: of the shape of `images`.
    Returns:
        (B,), in float32 at least.
    """
    return (full_precision(images) - full_precision(reconstruction)).square().flatten(1).mean(1)
