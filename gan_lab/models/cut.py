"""CUT and FastCUT: one translator, which keeps what each patch shows."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.losses.patch_contrast import patch_contrast
from gan_lab.models.translation import TranslationModule


class CUT(TranslationModule):
    """Contrastive unpaired translation (Park et al. 2020, section 3, equations 3 to 6).

    Sources a and targets b belong to other pictures. E are the feature maps of G's first half, and H small networks on
    their patches. With least squares:
    D, every batch: ((D(b) - 1)^2 + D(G(a))^2) / 2.
    G and H, every batch: (D(G(a)) - 1)^2 + lambda NCE(a), and with the identity
    (D(G(a)) - 1)^2 + lambda (NCE(a) + NCE(b)) / 2; NCE(x), the mean over maps and places, is the cross-entropy of
    finding, for a patch of G(x), that of x at its place among those of x.

    The places are the same for all pictures of a batch, on all ranks. Departure from the authors' code: they resize in
    the last half of training without cropping.

    Args:
        contrast_weight: lambda, 0 or more (CUT 1, FastCUT 10).
        identity: whether targets are translated too, which should leave them as they are (CUT; not FastCUT); needs
            targets of as many channels as sources.
        flips: whether every other batch, by a coin, is translated mirrored and compared mirrored back (FastCUT).
        temperature: of the cross-entropy, more than 0 (paper: 0.07).
        patches: places of a map, 1 or more (paper: 256); all of a smaller one.
        features: makes H of the channels of the feature maps, see `gan_lab.networks.projections`.
        **settings: see `TranslationModule` and `Plumbing`.
    Raises:
        ValueError: a value out of these ranges, masks, or networks that do not go together.
    """

    needs_pairs = False
    groups = {"discriminator": ("discriminator",), "generator": ("generator", "features")}
    features: nn.Module

    def __init__(
        self,
        *,
        generator: nn.Module,
        contrast_weight: float,
        identity: bool,
        flips: bool,
        temperature: float,
        patches: int,
        features: Callable[..., nn.Module],
        **settings: Any,
    ) -> None:
        if not hasattr(generator, "feature_channels"):
            raise ValueError(
                f"cut compares feature maps of its generator, and {type(generator).__name__} shows none; choose "
                "network=resnet_translator"
            )
        further = {"features": features(channels=generator.feature_channels)}
        super().__init__(generator=generator, further=further, **settings)
        if not contrast_weight >= 0:
            raise ValueError(f"model.contrast_weight must be 0 or more, got {contrast_weight}")
        if not temperature > 0:
            raise ValueError(f"model.temperature must be more than 0, got {temperature}")
        if patches < 1:
            raise ValueError(f"model.patches must be 1 or more, got {patches}")
        source, made = self.inputs.condition_shape, tuple(generator.sample_shape)  # type: ignore[arg-type]
        if identity and source != made:
            raise ValueError(
                f"model.identity gives targets to the generator, which takes {source}, and they are {made}; set "
                "model.identity=false"
            )
        self.contrast_weight, self.identity, self.flips = contrast_weight, identity, flips
        self.temperature, self.patches = temperature, patches

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        parts = self.micro_batches(batch)
        mirrored = self.flips and self.draws.decisions("flip", 1, 2) == [1]
        fakes = [self.generator(part["condition"].flip(-1) if mirrored else part["condition"]) for part in parts]
        self.update_discriminator(parts, fakes, factor=0.5)
        with self.updating("generator") as step:
            places = self.places(batch["condition"])
            for part, fake in zip(parts, fakes, strict=True):
                real = part["real"]
                judged = {"fake_logits": self.judge(fake), "real_logits": self.compared(real, {})}
                adversarial = self.adversarial.generator(**judged).mean()
                contrast = self.contrast(part["condition"], fake.flip(-1) if mirrored else fake, places)
                self.record("loss/g", adversarial)
                self.record("loss/contrast", contrast)
                if self.identity:
                    contrast_identity = self.contrast(real, self.generator(real), places)
                    contrast = (contrast + contrast_identity) / 2
                    self.record("loss/contrast_identity", contrast_identity)
                loss = adversarial + self.contrast_weight * contrast
                step(loss + self.regularization("generator", real=real, fake=fake, **judged))

    def places(self, sources: Tensor) -> list[Tensor]:
        """Of each feature map the places that are compared, the same on every rank."""
        sizes = self.generator.feature_sizes(*sources.shape[2:])  # type: ignore[operator]
        draws = self.draws.on_cpu()
        drawn = [draws.places("patches", min(self.patches, size), size) for size in sizes]
        return list(self.draws.send(torch.cat(drawn)).split([len(places) for places in drawn]))  # in one copy

    def contrast(self, pictures: Tensor, made: Tensor, places: Sequence[Tensor]) -> Tensor:
        """() NCE of what was made of pictures."""
        with torch.no_grad():
            keys = self.features(self.generator.feature_maps(pictures), places)  # type: ignore[operator]
        queries = self.features(self.generator.feature_maps(made), places)  # type: ignore[operator]
        of_maps = [patch_contrast(q, k, temperature=self.temperature) for q, k in zip(queries, keys, strict=True)]
        return torch.stack(of_maps).mean()
