"""The normalizations that a network can be asked for, by name."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from gan_lab import collectives
from gan_lab.layers.checks import one_of
from gan_lab.layers.conditioning import ClassBatchNorm2d, LinearClassBatchNorm2d
from gan_lab.layers.kinds import LINEAR_MAPS, refuse_unknown_weights

NORMALIZATIONS = ("none", "batch", "layer", "instance", "instance_plain", "spectral")
FEATURE_NORMALIZATIONS = ("none", "batch", "layer", "spectral")


def normalization_layer(name: str, channels: int, num_classes: int = 0, *, linear: bool = False) -> nn.Module:
    """The layer that normalizes feature maps (B, channels, H, W); the identity for "none" and "spectral".

    With `num_classes`, batch normalization has a scale and an offset per class: see `ClassBatchNorm2d`, and
    `LinearClassBatchNorm2d` for `linear`.

    "layer" takes mean and deviation over (C, H, W) of a sample, at any H and W, and has a scale and an offset per
    channel (as the critic of Gulrajani et al. 2017). "instance" takes them over (H, W) of a sample and a channel, and
    has a scale and an offset per channel; "instance_plain" has neither (as the code of CycleGAN, and of pix2pix where
    its normalization is instance). "spectral" concerns weights: see `spectrally_normalize`.

    Epsilons are torch's, 1e-5. StudioGAN's batch normalization has 1e-4, which moves G's output by 2e-4 of it.

    Raises:
        ValueError: unknown `name`, or classes without batch normalization.
    """
    one_of("normalization", name, NORMALIZATIONS)
    if num_classes and name != "batch":
        raise ValueError(f"conditioning=batch_norm needs normalization=batch, got {name}")
    if num_classes:
        return (LinearClassBatchNorm2d if linear else ClassBatchNorm2d)(channels, num_classes)
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "layer":
        return nn.GroupNorm(1, channels)
    if name in ("instance", "instance_plain"):
        return nn.InstanceNorm2d(channels, affine=name == "instance")
    return nn.Identity()


def feature_normalization_layer(name: str, features: int) -> nn.Module:
    """As `normalization_layer`, for vectors (B, features); "instance" has no meaning there.

    Raises:
        ValueError: unknown `name`.
    """
    one_of("normalization of a fully connected network", name, FEATURE_NORMALIZATIONS)
    if name == "batch":
        return nn.BatchNorm1d(features)
    if name == "layer":
        return nn.LayerNorm(features)
    return nn.Identity()


def brings_offset(name: str) -> bool:
    """Whether the normalization adds an offset per channel, so that the layer before it needs no bias."""
    return name in ("batch", "layer", "instance")


def removes_channel_mean(name: str) -> bool:
    """Whether a constant added to a channel is gone after the normalization, so that a bias there learns nothing."""
    return name in ("batch", "instance", "instance_plain")


def spectrally_normalize(network: nn.Module) -> None:
    """Divide every convolution's and linear layer's weight by its largest singular value (Miyato et al. 2018, 2.1).

    So is the class embedding of a projection (as Miyato and Koyama 2018). One power iteration per forward in training
    mode. Initialize the weights before: the singular vectors start here. Other embeddings are left as they are.

    Raises:
        ValueError: a network with weights of another kind.
    """
    refuse_unknown_weights(network, "normalization=spectral")
    projection = getattr(network, "embedding", None)
    for layer in list(network.modules()):
        if isinstance(layer, LINEAR_MAPS) or (layer is projection):
            parametrizations.spectral_norm(layer)


class _Synchronized(nn.modules.batchnorm._BatchNorm):
    """Batch normalization over the samples of all ranks, which have equally many; on the CPU too, twice differentiable.

    (`torch.nn.SyncBatchNorm` runs on GPUs alone and has no second derivative.) On one process, and in eval mode, it is
    the layer of torch that it derives from.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and collectives.is_distributed()):
            return super().forward(input)
        self._check_input_dim(input)
        over = [0, *range(2, input.ndim)]
        values = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        own = torch.stack([values.mean(over), values.var(over, correction=0)])
        means, variances = collectives.gather(own.unsqueeze(0)).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach(), values.numel() // values.shape[1] * collectives.world())
        along = (1, -1, *(1,) * (input.ndim - 2))
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        normalized = (values - mean.view(along)) * scale.view(along)
        return (normalized if self.bias is None else normalized + self.bias.view(along)).to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, as torch does: by `momentum` (None: towards the mean of all so far)."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight = self.num_batches_tracked.to(mean.dtype).reciprocal() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * (count / (count - 1)), weight)


class SynchronizedBatchNorm1d(_Synchronized, nn.BatchNorm1d):
    """See `synchronize_batch_norms`."""


class SynchronizedBatchNorm2d(_Synchronized, nn.BatchNorm2d):
    """See `synchronize_batch_norms`."""


class SynchronizedBatchNorm3d(_Synchronized, nn.BatchNorm3d):
    """See `synchronize_batch_norms`."""


SYNCHRONIZED: dict[type[nn.Module], type[_Synchronized]] = {
    nn.BatchNorm1d: SynchronizedBatchNorm1d,
    nn.BatchNorm2d: SynchronizedBatchNorm2d,
    nn.BatchNorm3d: SynchronizedBatchNorm3d,
}


def synchronize_batch_norms(module: nn.Module) -> None:
    """Let every batch normalization of torch within `module`, in place, take its statistics over all ranks."""
    for layer in module.modules():
        if type(layer) in SYNCHRONIZED:
            layer.__class__ = SYNCHRONIZED[type(layer)]
