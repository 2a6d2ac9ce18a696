"""CycleGAN: two translators that undo each other, learned without pairs."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gan_lab.losses.reduction import per_sample
from gan_lab.models.pool import ImagePool
from gan_lab.models.translation import TranslationModule
from gan_lab.sampling import SourceInputs

BACK = "discriminator_back"


class CycleGAN(TranslationModule):
    """Unpaired image-to-image translation with cycle-consistent adversarial networks (Zhu et al. 2017).

    Sources a are of domain A, targets b of B and of other pictures. G: A -> B is `generator`, F: B -> A is
    `generator_back`; D_B judges targets (`discriminator`), D_A sources (`discriminator_back`). With least squares:
    G and F, every batch: (D_B(G(a)) - 1)^2 + (D_A(F(b)) - 1)^2 + lambda (|F(G(a)) - a| + |G(F(b)) - b|)
    + lambda_id lambda (|G(b) - b| + |F(a) - a|), means all (section 3, equations 1 to 3; identity: section 5.2).
    D_A and D_B, every batch: ((D(real) - 1)^2 + D(fake)^2) / 2 each, with the fakes of that step through a pool.

    `adversarial: least_squares_unhalved` has these squares without a factor, as the authors' code, so that lambda means
    what it does there.

    Args:
        generator_back, discriminator_back: as `generator` and `discriminator`, with the domains exchanged.
        cycle_weight: lambda, 0 or more (paper: 10).
        identity_weight: lambda_id, 0 or more (0.5 in the authors' PyTorch code, 0 in the paper but for paintings); more
            than 0 needs domains of as many channels.
        pool_size: of the pool of fakes of each domain, 0 or more (paper: 50).
        **settings: see `TranslationModule` and `Plumbing`.
    Raises:
        ValueError: a weight below 0, masks, or networks that do not go together.
    """

    directions = {"AtoB": "generator", "BtoA": "generator_back"}
    needs_pairs = False
    groups = {
        "generator": ("generator", "generator_back"),
        "discriminator": ("discriminator", "discriminator_back"),
    }
    counting_group = "discriminator"
    closing_group = "discriminator"
    averaged_networks = ("generator", "generator_back")
    generator_back: nn.Module
    discriminator_back: nn.Module

    def __init__(
        self,
        *,
        generator_back: nn.Module,
        discriminator_back: nn.Module,
        cycle_weight: float,
        identity_weight: float,
        pool_size: int,
        **settings: Any,
    ) -> None:
        further = {"generator_back": generator_back, "discriminator_back": discriminator_back}
        super().__init__(further=further, **settings)
        for key, weight in (("cycle_weight", cycle_weight), ("identity_weight", identity_weight)):
            if not weight >= 0:
                raise ValueError(f"model.{key} must be 0 or more, got {weight}")
        shapes = [tuple(generator.sample_shape) for generator in (self.generator, self.generator_back)]  # type: ignore[arg-type]
        if identity_weight and shapes[0] != shapes[1]:
            raise ValueError(
                f"model.identity_weight={identity_weight} gives a picture of B to the generator that takes those of A, "
                f"and they are {shapes[0]} and {shapes[1]}; set model.identity_weight=0"
            )
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.pool = ImagePool("pool", size=pool_size, shape=shapes[0])
        self.pool_back = ImagePool("pool back", size=pool_size, shape=shapes[1])

    @classmethod
    def inputs_from(cls, settings: Mapping[str, Any], direction: str = "AtoB") -> SourceInputs:
        """See `GenerativeModule`; those of the generator of that direction."""
        return SourceInputs(settings[cls.directions[direction]]["condition_shape"], False)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        parts = self.micro_batches(batch)
        fakes = []
        with self.updating("generator") as step:
            for part in parts:
                a, b = part["condition"], part["real"]
                fake_b, fake_a = self.generator(a), self.generator_back(b)
                adversarial = self.fooling(b, fake_b) + self.fooling(a, fake_a, by=BACK)
                cycle = distance(self.generator_back(fake_b), a) + distance(self.generator(fake_a), b)
                loss = adversarial + self.cycle_weight * cycle
                if self.identity_weight:
                    identity = distance(self.generator(b), b) + distance(self.generator_back(a), a)
                    loss = loss + self.identity_weight * self.cycle_weight * identity
                    self.record("loss/identity", identity)
                step(loss + self.regularization("generator", real=b, fake=fake_b))
                self.record("loss/g", adversarial)
                self.record("loss/cycle", cycle)
                fakes.append((fake_b.detach(), fake_a.detach()))
        pools = [(pool, pool.decisions(self.batch_size, self.draws)) for pool in (self.pool, self.pool_back)]
        size, first = self.micro_batch_size or self.batch_size, 0
        with self.updating("discriminator") as step:
            for part, made in zip(parts, fakes, strict=True):
                fake_b, fake_a = (
                    pool.exchange(
                        fake,
                        decisions=decisions[first : first + size],
                        before=self.images_seen + first,
                        draws=self.draws,
                    )
                    for (pool, decisions), fake in zip(pools, made, strict=True)
                )
                first += size
                loss, logits = self.telling_apart(part["real"], fake_b)
                loss_back, logits_back = self.telling_apart(part["condition"], fake_a, by=BACK)
                step(loss + loss_back)
                self.record_logits(**logits)
                self.record("logits/real_back", logits_back["real_logits"])
                self.record("logits/fake_back", logits_back["fake_logits"])

    def logits(self, images: Tensor, *, by: str = "discriminator", **given: Any) -> Tensor:
        """See `TranslationModule`: of D_B, or of D_A."""
        return getattr(self, by)(images)

    def fooling(self, real: Tensor, fake: Tensor, **by: Any) -> Tensor:
        """() the adversarial loss of a generator's fakes."""
        logits = {"fake_logits": self.judge(fake, **by), "real_logits": self.compared(real, by)}
        return self.adversarial.generator(**logits).mean()

    def telling_apart(self, real: Tensor, fake: Tensor, **by: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """() the loss of a discriminator with its regularizers, and its logits."""
        logits = {"real_logits": self.judge(real, instead=fake, **by), "fake_logits": self.judge(fake, **by)}
        loss = 0.5 * self.adversarial.discriminator(**logits).mean()
        self.record("loss/d_back" if by else "loss/d", loss)
        return loss + self.regularization("discriminator", real=real, fake=fake, **by, **logits), logits


def distance(images: Tensor, others: Tensor) -> Tensor:
    """() mean absolute difference."""
    return per_sample((images - others).abs()).mean()
