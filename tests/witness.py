"""What a rank saw and ended with, for the tests of several ranks."""

import inspect
import itertools
import json
import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import nn

from gan_lab import collectives
from gan_lab.losses import minimax
from gan_lab.models.dcgan import DCGAN


class Witness(Callback):
    """Leaves, per rank, a file: the module's final state, the mean of every sample that a network saw, the bytes of
    each trained parameter."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.seen: dict[str, list[torch.Tensor]] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        for name in itertools.chain.from_iterable(pl_module.groups.values()):
            self.seen[name] = []
            network = getattr(pl_module, name)
            self._watch(name, network, "features" if hasattr(network, "features") else "forward")
            if inspect.ismethod(getattr(network, "stages", None)):  # of what fills holes: models want them for losses
                self._watch(name, network, "stages")

    def _watch(self, name: str, network: nn.Module, method: str) -> None:
        """Note what `forward` is given, or `features`, which it calls and which models call for further heads."""
        original = getattr(network, method)

        def noted(*arguments: Any, **keywords: Any) -> torch.Tensor:
            # Latents by keyword are those of a look at health; sources come by keyword in training, too.
            given = arguments[0] if arguments else keywords.get("condition")
            if network.training and isinstance(given, torch.Tensor):  # what comes of feature maps hides no draws
                self.seen[name].append(given.detach().flatten(1).mean(1))
            return original(*arguments, **keywords)

        setattr(network, method, noted)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        seen = {name: torch.cat(values) for name, values in self.seen.items() if values}
        state = {name: value.clone() for name, value in pl_module.state_dict().items()}
        parameters = {name: value.nbytes for name, value in pl_module.named_parameters() if value.requires_grad}
        left = {"seen": seen, "state": state, "parameters": parameters}
        torch.save(left, self.folder / f"witness{collectives.rank()}.pt")


class FinalState(Witness):
    """As `Witness`, of the final state alone."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        pass


class LazyPenalty(DCGAN):
    """DCGAN whose D takes a step on a penalty alone before every step on its loss: some parameters have no gradient."""

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            for micro_batch in self.micro_batches(batch):
                real = micro_batch["real"].detach().requires_grad_()
                (slope,) = torch.autograd.grad(self.discriminator(real).sum(), real, create_graph=True)
                step(slope.square().flatten(1).sum(1).mean())
        super().training_step(batch, batch_idx)


class BranchingLoss(DCGAN):
    """A mistake: rank 1's loss does not reach all that rank 0's does."""

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        with self.updating("discriminator") as step:
            logits = self.discriminator(batch["real"])
            fake = self.discriminator(self.generator(self.latents(len(logits))).detach())
            loss = minimax.discriminator_loss(real_logits=logits, fake_logits=fake).mean()
            if collectives.rank() == 1:
                loss = (self.discriminator.stages[0].weight ** 2).sum()
            step(loss)


class Sabotage(Callback):
    """At `images`, on `rank`: raise, kill (by SIGKILL), poison (NaN for reals), stall; or sleep at every step."""

    def __init__(self, rank: int, images: int, how: str) -> None:
        self.rank, self.images, self.how = rank, images, how

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if collectives.rank() != self.rank or pl_module.images_seen < self.images:
            return
        if self.how == "raise":
            raise ValueError("sabotaged on purpose")
        if self.how == "kill":
            os.kill(os.getpid(), 9)
        if self.how == "poison":
            batch["real"].fill_(float("nan"))
        if self.how in ("sleep", "stall"):
            import time

            time.sleep(0.05 if self.how == "sleep" else 300)


class Wrote(Callback):
    """Leaves, per rank, what this rank trained with: what its own command line said beside what its module is."""

    def __init__(self, model: str, seed: int) -> None:
        self.said = {"model": model, "seed": seed}

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        kind = type(pl_module)
        found = {"said": self.said, "model": f"{kind.__module__}.{kind.__name__}", "seed": pl_module.seed}
        (Path(trainer.default_root_dir) / f"wrote{collectives.rank()}.json").write_text(json.dumps(found))
