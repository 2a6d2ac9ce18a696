"""What the classical repair of holes scores beside a model: Telea's fast marching (2004), by OpenCV.

    pip install opencv-python-headless
    python benchmarks/telea.py experiment=inpainting_mnist_centre data.root=PATH evaluation.num_samples=1000

prints the scores of a recipe's own evaluation with Telea's fill in the place of its generator. The mean of what is
known needs no OpenCV: `of: mean_fill` of `psnr`, `ssim` and `l1`, in any run.
"""

import argparse

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn

from gan_lab.config import register
from gan_lab.data.images import from_uint8, to_uint8
from gan_lab.evaluation.display import print_scores
from gan_lab.sampling import SourceInputs

CPU = torch.device("cpu")


class Telea(nn.Module):
    """Holes filled from their edge inwards.

    Args:
        radius: of what is looked at around a pixel.
    """

    def __init__(self, radius: float) -> None:
        super().__init__()
        self.radius = radius

    def forward(self, condition: Tensor, mask: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [-1, 1] and (B, 1, H, W), 1 in the hole -> (B, 1 or 3, H, W) in [-1, 1]."""
        made = []
        for source, hole in zip(to_uint8(condition), mask[:, 0], strict=True):
            pixels = np.ascontiguousarray(source.permute(1, 2, 0).numpy().squeeze())
            filled = cv2.inpaint(pixels, hole.numpy().astype(np.uint8), self.radius, cv2.INPAINT_TELEA)
            made.append(torch.from_numpy(filled).view(*filled.shape[:2], -1).permute(2, 0, 1))
        return from_uint8(torch.stack(made))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--radius", type=float, default=3, help="of Telea's fill, in pixels")
    parser.add_argument("overrides", nargs="+", help="as of gan_lab.train: experiment=..., data.root=...")
    given = parser.parse_args()
    with initialize_config_dir(version_base="1.3", config_dir=register()):
        config = compose("train", given.overrides)
    data = instantiate(config.data, _convert_="all")
    data.prepare_data()
    stage = instantiate(config.evaluation, _convert_="all")
    inputs = SourceInputs(data.condition_shape, masked=True)
    scores = stage.score(Telea(given.radius), inputs, data, weights="live", device=CPU)
    print_scores(f"Telea's fill of {data.name}", scores)


if __name__ == "__main__":
    main()
