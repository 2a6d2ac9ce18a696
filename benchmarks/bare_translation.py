"""What a person would write by hand for pix2pix and CycleGAN, to be held beside gan_lab's loop: see overhead.py."""

import copy
import random

import torch
from torch import nn
from torch.nn import functional as F

from gan_lab.data.images import from_uint8


class BareTranslation:
    """Copies of a model's networks with its optimizers, and resident pictures with what is made of them."""

    def __init__(self, model, data) -> None:
        self.batch_size, self.condition = data.batch_size, data.condition
        self.images = torch.from_numpy(data.reference("train").images)
        names = [name for group in model.groups.values() for name in group]
        self.networks = {name: copy.deepcopy(getattr(model, name)) for name in names}
        self.optimizers = {
            group: model.optimizer_factories[group]([p for name in of for p in self.networks[name].parameters()])
            for group, of in model.groups.items()
        }

    def pair(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sources and targets."""
        chosen = torch.randint(len(self.images), (self.batch_size,))
        pixels = self.images.index_select(0, chosen)
        return from_uint8(self.condition.make(pixels, chosen)["condition"]), from_uint8(pixels)

    def step(self, group: str, loss: torch.Tensor) -> None:
        self.optimizers[group].zero_grad()
        loss.backward()
        self.optimizers[group].step()


class BarePix2Pix(BareTranslation):
    """An iteration of pix2pix."""

    def iteration(self) -> None:
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        source, real = self.pair()
        fake = generator(condition=source)
        real_logits = discriminator(real, condition=source)
        fake_logits = discriminator(fake.detach(), condition=source)
        self.step("discriminator", 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()))
        discriminator.requires_grad_(False)
        logits = discriminator(fake, condition=source)
        self.step("generator", F.softplus(-logits).mean() + 100 * F.l1_loss(fake, real))
        discriminator.requires_grad_(True)


class BareCycleGAN(BareTranslation):
    """An iteration of CycleGAN, without the identity."""

    def __init__(self, model, data) -> None:
        super().__init__(model, data)
        self.pools: dict[str, list[torch.Tensor]] = {"real": [], "source": []}
        self.size = model.pool.size

    def iteration(self) -> None:
        there, back = self.networks["generator"], self.networks["generator_back"]
        judges = [self.networks["discriminator"], self.networks["discriminator_back"]]
        source, real = self.pair()[0], self.pair()[1]
        for judge in judges:
            judge.requires_grad_(False)
        fake, fake_source = there(condition=source), back(condition=real)
        fooled = sum((judge(x) - 1).square().mean() for judge, x in zip(judges, (fake, fake_source), strict=True))
        cycle = F.l1_loss(back(condition=fake), source) + F.l1_loss(there(condition=fake_source), real)
        self.step("generator", fooled + 10 * cycle)
        for judge in judges:
            judge.requires_grad_(True)
        loss = self.told_apart(judges[0], real, self.exchanged("real", fake.detach()))
        loss = loss + self.told_apart(judges[1], source, self.exchanged("source", fake_source.detach()))
        self.step("discriminator", loss)

    @staticmethod
    def told_apart(judge: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return 0.5 * ((judge(real) - 1).square().mean() + judge(fake).square().mean())

    def exchanged(self, name: str, fakes: torch.Tensor) -> torch.Tensor:
        pool, shown = self.pools[name], []
        for fake in fakes:
            if len(pool) < self.size:
                pool.append(fake)
                shown.append(fake)
            elif random.random() < 0.5:
                place = random.randrange(self.size)
                shown.append(pool[place])
                pool[place] = fake
            else:
                shown.append(fake)
        return torch.stack(shown)
