"""A small residual classifier of one's own labelled images: its training, and its features as an extractor.

`python -m gan_lab.fit_extractor` writes its files. The training is also what the classification accuracy score runs.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.data.images import from_uint8, resize
from gan_lab.extractors.base import DamagedWeights, Extractor, MissingWeights, file_sha256
from gan_lab.extractors.naming import checked_name
from gan_lab.extractors.pixels import continuous, to_channels

WIDTHS = (32, 64, 96)
FIRST_STAGE = 16  # pixels a side, at most: larger images are halved by convolutions first
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
KEY = "gan_lab.classifier"  # of the JSON in a file's header


class ResidualClassifier(nn.Module):
    """A convolution, then three stages of a residual block each at halving resolution, mean over pixels, linear layer.

    About 330,000 parameters; a 32x32 image takes 14 million multiplications.

    Args:
        image_size: (height, width) in pixels.
        channels: of the images.
        classes: number of labels.
    """

    feature_dim = WIDTHS[-1]

    def __init__(self, *, image_size: tuple[int, int], channels: int, classes: int) -> None:
        super().__init__()
        self.image_size, self.channels, self.classes = tuple(image_size), channels, classes
        halvings = max(0, math.ceil(math.log2(max(image_size) / FIRST_STAGE)))
        stem = [_Convolution(channels, WIDTHS[0], stride=2 if halvings else 1)]
        stem += [_Convolution(WIDTHS[0], WIDTHS[0], stride=2) for _ in range(halvings - 1)]
        stages: list[nn.Module] = [_Residual(WIDTHS[0])]
        for before, after in pairwise(WIDTHS):
            stages += [_Convolution(before, after, stride=2), _Residual(after)]
        self.body = nn.Sequential(*stem, *stages)
        self.head = nn.Linear(self.feature_dim, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) in [-1, 1] -> features (B, 96), which are not negative, and logits (B, classes)."""
        features = self.body(images).mean(dim=(2, 3))
        return features, self.head(features)


class _Convolution(nn.Sequential):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        )


class _Residual(nn.Module):
    """relu(x + norm(conv(relu(norm(conv(x)))))), which begins as relu(x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Convolution(channels, channels, stride=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, values: Tensor) -> Tensor:
        return F.relu(values + self.norm(self.second(self.first(values))))


# Training -------------------------------------------------------------------------------------------------------


def fit_classifier(
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    epochs: int,
    batch_size: int,
    lr: float,
    shift: int,
    flip: bool,
    seed: int,
    threads: int | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> ResidualClassifier:
    """Train a `ResidualClassifier`: AdamW, rate of one cycle, cross-entropy with smoothed labels.

    The same arguments give the same bits on one machine with as many threads; no default generator is touched. It
    works whatever the caller's gradient mode, autocast and inference mode are.

    Args:
        images: (N, C, H, W) uint8 on any device, N at least 2.
        labels: (N,) int64 in 0 .. classes - 1.
        classes: number of labels, 2 or more.
        epochs: passes over all images; the remainder of N over `batch_size` is left out, another one in every pass.
        batch_size: at most N is taken.
        lr: the highest rate of the cycle.
        shift: move each image by up to so many pixels either way, its border repeated.
        flip: mirror half of the images left to right.
        seed: of weights, order, shifts and flips.
        threads: of one operation on the CPU, during the training alone; None for as many as there are now.
        device: where to train.
        progress: called with the images done and those to be done in all.
    Returns:
        The classifier on `device`, in eval mode, without gradients.
    Raises:
        ValueError: labels that do not fit, or a value out of range.
        FloatingPointError: the loss is no longer finite.
    """
    _check_images(images, labels, classes)
    for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 2), ("shift", shift, 0)):
        if value < least:
            raise ValueError(f"{name} must be {least} or more, got {value}")
    if len(images) < 2:
        raise ValueError(f"a classifier needs at least 2 images, got {len(images)}")
    batch_size = min(batch_size, len(images))
    steps = len(images) // batch_size
    device = torch.device(device)
    generator = torch.Generator().manual_seed(seed)
    with _own_surroundings(threads, device):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # not those of GPUs, whose state is not kept here
            network = ResidualClassifier(
                image_size=(images.shape[2], images.shape[3]), channels=images.shape[1], classes=classes
            )
        network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        decayed = [weight for weight in network.parameters() if weight.dim() > 1]
        others = [weight for weight in network.parameters() if weight.dim() <= 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=epochs * steps)
        done, loss = 0, torch.zeros(())
        for _ in range(epochs):
            order = torch.randperm(len(images), generator=generator)[: steps * batch_size]
            for chosen in order.view(steps, batch_size):
                batch = augmented(images[chosen.to(images.device)], shift=shift, flip=flip, generator=generator)
                logits = network(from_uint8(batch.to(device)).contiguous(memory_format=torch.channels_last))[1]
                target = labels[chosen.to(labels.device)].to(device)
                loss = F.cross_entropy(logits, target, label_smoothing=LABEL_SMOOTHING)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                done += batch_size
                if progress is not None:
                    progress(done, epochs * steps * batch_size)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the classifier's loss is {loss.item()}: lower lr={lr}")
    return network.eval().requires_grad_(False)


def augmented(images: Tensor, *, shift: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Each image moved by up to `shift` pixels either way, its border repeated, and mirrored in half of the cases.

    Args:
        images: (B, C, H, W) of any type.
        generator: on the CPU.
    """
    count, _, height, width = images.shape
    down, right = torch.randint(-shift, shift + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < (0.5 if flip else 0.0)
    rows = (torch.arange(height) + down).clamp(0, height - 1)
    columns = (torch.arange(width) + right).clamp(0, width - 1)
    columns = torch.where(mirrored, columns.flip(1), columns)
    every = torch.arange(count)[:, None, None]
    places = (every, rows[:, :, None], columns[:, None, :])
    moved = images.permute(0, 2, 3, 1)[tuple(place.to(images.device) for place in places)]
    return moved.permute(0, 3, 1, 2)


def accuracy(
    network: ResidualClassifier, images: Tensor, labels: Tensor, *, batch_size: int = 500, threads: int | None = None
) -> float:
    """Share of uint8 images whose highest logit is their label's, in eval mode.

    Args:
        network: what `fit_classifier` gives.
        images: (N, C, H, W) uint8 of the size it was trained on.
        labels: (N,) int64.
        batch_size: taken at once.
        threads: see `fit_classifier`.
    """
    _check_images(images, labels, network.classes)
    device = network.head.weight.device
    network.eval()
    right = 0
    with _own_surroundings(threads, device), torch.no_grad():
        for batch, target in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            logits = network(from_uint8(batch.to(device)).contiguous(memory_format=torch.channels_last))[1]
            right += int((logits.argmax(dim=1).cpu() == target.cpu()).sum())
    return right / len(images)


def _check_images(images: Tensor, labels: Tensor, classes: int) -> None:
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise ValueError(f"images must be (N, C, H, W) uint8, got {tuple(images.shape)} {images.dtype}")
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"labels must be ({len(images)},) int64, got {tuple(labels.shape)} {labels.dtype}")
    if classes < 2:
        raise ValueError(f"classes must be 2 or more, got {classes}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"labels must lie in 0 .. {classes - 1}, got {int(labels.min())} .. {int(labels.max())}")


@contextmanager
def _own_surroundings(threads: int | None, device: torch.device) -> Iterator[None]:
    """Gradients on, inference mode, autocast and TF32 off, `threads` threads, deterministic kernels; all restored."""
    before = torch.get_num_threads()
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, before)
        if threads is not None:
            torch.set_num_threads(threads)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        )
        yield


# The extractor --------------------------------------------------------------------------------------------------


def save_classifier(path: Path, network: ResidualClassifier, about: dict[str, Any]) -> None:
    """Write the weights, and what they are, as one safetensors file.

    Args:
        path: of the file.
        network: what `fit_classifier` gave.
        about: plain JSON values: `name` as it is to stand in scores, and whatever tells where it comes from: class
            names, data set, its digest, the accuracy on images held out. Size and channels are added.
    Raises:
        ValueError: the name cannot stand in the names of scores.
    """
    shape = {"image_size": list(network.image_size), "channels": network.channels, "num_classes": network.classes}
    header = json.dumps({**about, **shape, "name": checked_name(about["name"])})
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, metadata={KEY: header})


class Classifier(Extractor):
    """A classifier of one's own data, as `python -m gan_lab.fit_extractor` writes it.

    Images of the size that it was trained on are taken as they are, others are resized to it (bicubic, antialiased,
    rounded, without regard to the aspect); grey is repeated or colours averaged where it saw the other kind.

    Args:
        weights: the safetensors file.
        name: as it stands in the names of scores; None for the file's own.
    Attributes:
        about: what the file says of itself.
    Raises:
        ValueError: a name that cannot stand in the names of scores.
        MissingWeights, DamagedWeights: see there.
    """

    feature_dim = ResidualClassifier.feature_dim

    def __init__(self, weights: str | Path, name: str | None) -> None:
        super().__init__()
        if message := self.missing_weights(weights=weights):
            raise MissingWeights(message)
        path = Path(weights)
        self.weights_sha256 = file_sha256(path)
        try:
            with safe_open(path, framework="pt") as file:
                self.about: dict[str, Any] = json.loads((file.metadata() or {})[KEY])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (no mapping)
            height, width = self.about["image_size"]
            with torch.device("meta"):
                self.network = ResidualClassifier(
                    image_size=(height, width), channels=self.about["channels"], classes=self.about["num_classes"]
                )
            self.network.load_state_dict(tensors, assign=True)
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise DamagedWeights(f"{path} was not written by gan_lab.fit_extractor, or is damaged: {error}") from error
        self.name = checked_name(self.about["name"] if name is None else name)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def missing_weights(cls, *, weights: str | Path, name: str | None = None) -> str | None:  # type: ignore[override]
        """None, or which file is absent and how to make it."""
        if Path(weights).is_file():
            return None
        return (
            f"the classifier's weights file {weights} is absent: make it from labelled images with "
            f"`python -m gan_lab.fit_extractor data=folder data.root=PATH out={weights}`"
        )

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        size = "x".join(map(str, self.network.image_size))
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "layer": "mean over pixels of the last stage",
            "resize": f"{size} as is, else bicubic antialiased to {size}, rounded",
            "input": f"uint8, {self.network.channels} channels (grey repeated, colours averaged), in [-1, 1]",
            "dtype": "float32",
        }

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """See `Extractor`."""
        fitted = resize(to_channels(images, self.network.channels), self.network.image_size)
        features, logits = self.network(from_uint8(fitted))
        return {"features": features, "logits": logits}

    def maps(self, images: Tensor) -> Tensor:
        """(B, 96, h, w): the last stage's, whose mean over pixels the features are."""
        return self.network.body(continuous(images, self.network.channels, self.network.image_size))
