"""Make digitnet's weights: `python -m gan_lab.extractors.train_digitnet --mnist-root PATH --out FILE`.

Trained on MNIST's training images without the last 10,000 and on scikit-learn's digits without every fifth of each
class, so that the rest can serve as a reference that the features have not seen. Some minutes on one core.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.datasets import MNIST

from gan_lab.data.images import resize
from gan_lab.extractors.digitnet import SIZE, DigitNetwork, to_digit_input

MNIST_HELD_OUT = 10_000
MNIST_ACCURACY, DIGITS_ACCURACY = 0.99, 0.97


def mnist(root: str | Path, train: bool) -> tuple[Tensor, Tensor]:
    """(N, 1, 32, 32) uint8 padded by 2 black pixels, and (N,) int64 labels."""
    data = MNIST(root, train=train)
    return F.pad(data.data, (2, 2, 2, 2)).unsqueeze(1), data.targets


def digits(held_out: bool) -> tuple[Tensor, Tensor]:
    """scikit-learn's digits: (N, 1, 32, 32) uint8, enlarged from 8x8 as the data set `digits` is, (N,) int64 labels.

    Args:
        held_out: every fifth of each class, or the others. (The set cycles through 0 .. 9: every fifth of all would
            be of few classes.)
    """
    data = load_digits()
    images = torch.from_numpy(np.rint(data.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    chosen = np.full(len(images), not held_out)
    for label in range(10):
        chosen[np.flatnonzero(data.target == label)[4::5]] = held_out
    return resize(images, (SIZE, SIZE))[chosen], torch.from_numpy(data.target[chosen]).long()


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images in [0, 1], each turned by up to 12 degrees, sheared by up to 0.1, scaled by 0.85 to 1.2, shifted by up to
    3 pixels, and given Gaussian noise of its own strength, at most 0.08."""
    angle, shear, scale, right, down = torch.rand(5, len(images), generator=generator) * 2 - 1
    angle, shear, scale = angle * math.radians(12), shear * 0.1, torch.exp(scale * 0.17)
    rows = [
        torch.stack([angle.cos() * scale, (shear - angle.sin()) * scale, right * 6 / SIZE], dim=1),
        torch.stack([angle.sin() * scale, angle.cos() * scale, down * 6 / SIZE], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    strength = 0.08 * torch.rand(len(images), 1, 1, 1, generator=generator)
    moved = F.grid_sample(images, grid, align_corners=False)
    return (moved + strength * torch.randn(images.shape, generator=generator)).clamp(0, 1)


@torch.no_grad()
def accuracy(network: DigitNetwork, images: Tensor, labels: Tensor) -> float:
    """Share of uint8 images whose highest logit is their label's, in eval mode."""
    network.eval()
    predicted = [network(to_digit_input(batch))[1].argmax(dim=1) for batch in images.split(500)]
    return (torch.cat(predicted) == labels).float().mean().item()


def train(images: Tensor, labels: Tensor, weights: Tensor, epochs: int, batch_size: int, seed: int) -> DigitNetwork:
    """AdamW with a one-cycle rate on augmented images; an epoch is as many draws by `weights` as there are images."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = DigitNetwork().to(memory_format=torch.channels_last)
    steps = len(images) // batch_size
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=epochs * steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    begun = time.monotonic()
    for epoch in range(epochs):
        network.train()
        drawn = torch.multinomial(weights, steps * batch_size, replacement=True, generator=generator)
        total = 0.0
        for indices in drawn.view(steps, batch_size):
            batch = augmented(to_digit_input(images[indices]), generator)
            loss = loss_of(network(batch)[1], labels[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}  loss {total / steps:.4f}  {time.monotonic() - begun:.0f} s", flush=True)
    return network


def stored(network: DigitNetwork) -> dict[str, Tensor]:
    """What the file holds: matrices and kernels as float16, the short vectors of batch norm as they are."""
    state = network.state_dict()
    return {name: (value.half() if value.dim() > 1 else value).contiguous() for name, value in state.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist-root", required=True, help="folder that holds MNIST/raw, in torchvision's layout")
    parser.add_argument("--out", required=True, type=Path, help="the safetensors file to write")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # so that the file does not depend on the number of cores

    mnist_images, mnist_labels = (part[:-MNIST_HELD_OUT] for part in mnist(arguments.mnist_root, train=True))
    digit_images, digit_labels = digits(held_out=False)
    # A digit of the small set is drawn four times as often as one of MNIST's.
    weights = torch.cat([torch.ones(len(mnist_images)), torch.full((len(digit_images),), 4.0)])
    network = train(
        torch.cat([mnist_images, digit_images]),
        torch.cat([mnist_labels, digit_labels]),
        weights,
        arguments.epochs,
        arguments.batch_size,
        arguments.seed,
    )
    network.load_state_dict({name: value.float() for name, value in stored(network).items()})

    reached_mnist = accuracy(network, *mnist(arguments.mnist_root, train=False))
    reached_digits = accuracy(network, *digits(held_out=True))
    print(f"accuracy mnist_test {reached_mnist:.4f} held_out_digits {reached_digits:.4f}")
    if reached_mnist < MNIST_ACCURACY or reached_digits < DIGITS_ACCURACY:
        raise SystemExit(f"not written: wanted {MNIST_ACCURACY} on MNIST's test, {DIGITS_ACCURACY} on held-out digits")
    save_file(stored(network), arguments.out)
    print(f"wrote {arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
