"""Instance noise: what D sees is blurred by noise that fades as training goes on."""

from collections.abc import Mapping

from torch import Tensor

from gan_lab.augment.base import Augmentation
from gan_lab.sampling import Draws


class InstanceNoise(Augmentation):
    """Add N(0, sigma^2) to every value that D sees; sigma falls linearly to 0 (Arjovsky and Bottou 2017, section 3.2).

    Sources and masks beside them stay as they are: those of reals and of fakes are the same already, so noise on the
    images is enough for pairs of either kind to overlap.

    Args:
        sigma: standard deviation at the start, in units of [-1, 1], 0 or more.
        until_kimg: thousands of images until it is gone, more than 0.
    """

    def __init__(self, sigma: float, until_kimg: float) -> None:
        super().__init__()
        if sigma < 0 or until_kimg <= 0:
            raise ValueError(f"instance noise needs sigma >= 0 and until_kimg > 0, got {sigma} and {until_kimg}")
        self.sigma, self.until = sigma, 1000 * until_kimg

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """(B, ...) -> the same shape: noise of this rank's samples of the global batch."""
        sigma = self.sigma * max(0.0, 1.0 - draws.images_seen / self.until)
        if sigma == 0.0:
            return images
        noise = draws.normal_by_blocks("instance noise", len(images), images.shape[1:])
        return images + sigma * noise

    def together(
        self, images: Tensor, beside: Mapping[str, Tensor], draws: Draws
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Noise on the images alone."""
        return self(images, draws), beside
