"""GANs with one mistake each, of those that a CPU forgives: for the tests of what finds them."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.models.dcgan import DCGAN


class Mistaken(DCGAN):
    """DCGAN that does something with the reals before each step."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.look(batch["real"])
        super().training_step(batch, batch_idx)

    def look(self, real: Tensor) -> Any:
        raise NotImplementedError


class ReadsAValue(Mistaken):
    def look(self, real: Tensor) -> Any:
        return real.mean().item()


class AsksATensor(Mistaken):
    def look(self, real: Tensor) -> Any:
        return 1 if real.mean() > 0 else 0


class ListsValues(Mistaken):
    def look(self, real: Tensor) -> Any:
        return real.mean((1, 2, 3)).tolist()


class BringsHome(Mistaken):
    def look(self, real: Tensor) -> Any:
        return real.cpu()


class IndexesByMask(Mistaken):
    def look(self, real: Tensor) -> Any:
        return real[real.mean((1, 2, 3)) > 0]


class WritesByMask(Mistaken):
    def look(self, real: Tensor) -> Any:
        mean = real.mean((1, 2, 3))
        mean[mean > 0] = torch.zeros_like(mean)[mean > 0]
        return mean


class CountsPlaces(Mistaken):
    def look(self, real: Tensor) -> Any:
        return torch.where(real > 0)


class SendsOrdinaryMemory(Mistaken):
    def look(self, real: Tensor) -> Any:
        return real + torch.zeros(len(real), 1, 1, 1).to(real.device, non_blocking=True)


class MakesOfNumbers(Mistaken):
    def look(self, real: Tensor) -> Any:
        return real + torch.tensor([0.0], device=real.device)


class IndexesFromTheCPU(Mistaken):
    def look(self, real: Tensor) -> Any:
        return real[torch.arange(len(real))]


class MixesDevices(Mistaken):
    def look(self, real: Tensor) -> Any:
        return real + torch.zeros(len(real), 1, 1, 1)


class CopiesTooOften(Mistaken):
    """Nothing waits, but each of many small copies costs the host as much as a kernel."""

    def look(self, real: Tensor) -> Any:
        return [self.draws.uniform("more", len(real), (1,)) for _ in range(8)]
