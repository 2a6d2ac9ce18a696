"""Plumbing that all models share: freezing, stepping, counting, averaging, recording. No loss, no order of updates."""

import contextlib
import inspect
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, TypedDict, TypeVar, Unpack

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gan_lab import collectives
from gan_lab.augment.base import Augmentation
from gan_lab.models.averaging import MovingAverage
from gan_lab.regularizers.base import Phase, Regularizer
from gan_lab.sampling import Draws, reseed_host_generators, reseed_torch
from gan_lab.schedules import Schedule, as_schedule

log = logging.getLogger("gan_lab")
Part = TypeVar("Part", bound=nn.Module)
FEW = 2**17  # numbers, copied faster than as many as a network has tensors are asked for their norms
PLAIN = {bool, float, int, str, type(None)}


def total_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """() the norm of all their gradients together (of one dtype, on one device); 0 where there are none.

    On the CPU the norms of many tensors are as many calls; those of a small network are faster copied into one.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return parameters[0].new_zeros(())
    if gradients[0].device.type == "cpu" and sum(map(Tensor.numel, gradients)) <= FEW:
        together = _flatten_dense_tensors(gradients)
        return torch.dot(together, together).sqrt()
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


class Records:
    """Sums of what steps note under a name, and how often.

    A step notes its values as they are; they are added up later, many together and in the order in which they came,
    since that takes a fraction of the time that it takes between the kernels of a step. The sums are the same.

    Args:
        totals: name -> (() float32 sum, count) to go on with.
    """

    WAITING = 256

    def __init__(self, totals: Mapping[str, tuple[Tensor, int]] | None = None) -> None:
        self._totals = dict(totals or {})
        self._waiting: list[tuple[str, Tensor]] = []

    def add(self, name: str, value: Tensor) -> None:
        """Note the mean of `value`, of any shape and without a graph."""
        value = value.float()
        self._waiting.append((name, value.mean() if value.ndim else value))
        if len(self._waiting) == self.WAITING:
            self.totals()

    def totals(self) -> dict[str, tuple[Tensor, int]]:
        """Name -> (() float32 sum, count)."""
        for name, value in self._waiting:
            total, count = self._totals.get(name, (0.0, 0))
            self._totals[name] = (total + value, count + 1)
        self._waiting.clear()
        return self._totals

    def take(self) -> dict[str, tuple[Tensor, int]]:
        """As `totals`, which begin anew."""
        totals, self._totals = self.totals(), {}
        return totals


class Soundness:
    """Whether the gradients of the steps since the last check were finite, kept on the device."""

    def __init__(self) -> None:
        self._norms: Tensor | None = None  # their sum: finite as long as every gradient was
        self._here: Tensor | None = None

    def note(self, norm: Tensor) -> None:
        """Take in the norm, (), of a step's gradients, averaged over the ranks."""
        self._norms = norm if self._norms is None else self._norms + norm

    def note_here(self, norm: Tensor) -> None:
        """Take in this rank's own norm, (), before they are averaged; once one has broken, all ranks' averages have."""
        sound = torch.isfinite(norm)
        if self._norms is not None:
            sound = sound | ~torch.isfinite(self._norms)
        self._here = sound if self._here is None else self._here & sound

    def take(self) -> tuple[Tensor | None, Tensor | None]:
        """The sum of norms, and whether this rank's own were finite while all ranks' were; () each, and anew then."""
        taken = self._norms, self._here
        self._norms = self._here = None
        return taken


class OneProcess:
    """What a model asks of the strategy that trains it, answered for one process alone.

    A strategy for many has the same methods (see `gan_lab.distributed.strategy`); gathering the state for a checkpoint
    is Lightning's `lightning_module_state_dict`.
    """

    def broadcast_state(self, tensors: Iterable[Tensor]) -> None:
        """Make these tensors equal on all ranks: rank 0's."""

    def average_gradients(self, parameters: Sequence[nn.Parameter], phase: str) -> None:
        """Replace the gradients that there are by their means over the ranks; `phase` names the step in errors."""

    def clip_gradients(self, parameters: Sequence[nn.Parameter], limit: float | None) -> Tensor:
        """The norm of the averaged gradients, before they are scaled down to `limit` (None: they stay)."""
        norm = total_norm(parameters)
        if limit is not None:
            nn.utils.clip_grads_with_norm_(parameters, limit, norm)
        return norm


class Plumbing(TypedDict):
    """The settings that every model takes, whatever its algorithm.

    Attributes:
        optimizers: per group of networks a callable from parameters to an optimizer (`_partial_: true` in YAML).
        schedules: per group a factor on its learning rate as a function of images seen; groups left out stay constant.
        beta2: per group Adam's second beta, or a schedule of it; groups left out keep their optimizer's.
        clip_norm: per group the largest gradient norm, more than 0; groups left out are not clipped.
        freeze: what is not trained (Mo et al. 2020: FreezeD): names of parts of networks, such as
            discriminator.stages.0, or how many layers of one from the image on, such as discriminator:10.
        ema_half_life_kimg: half-life of the averaged networks in thousands of images, or a schedule of it; None for no
            average.
        ema_warmup: see `MovingAverage`.
        augment: by name, in their order, what D sees reals and fakes through: see `gan_lab.augment.base`; None for one
            that a recipe leaves out.
        regularizers: by name, further terms of a phase's loss: see `gan_lab.regularizers.base`; None likewise.
        batch_size: global batch of reals, 1 or more.
        micro_batch_size: global size of the micro-batches in which gradients are accumulated; None for one, the batch.
        seed: the run's seed, 0 or more.
    """

    optimizers: Mapping[str, Callable[..., Optimizer]]
    schedules: Mapping[str, Schedule]
    beta2: Mapping[str, float | Schedule]
    clip_norm: Mapping[str, float]
    freeze: Sequence[str]
    ema_half_life_kimg: float | Schedule | None
    ema_warmup: float | None
    augment: Mapping[str, Augmentation | None]
    regularizers: Mapping[str, Regularizer | None]
    batch_size: int
    micro_batch_size: int | None
    seed: int


class GenerativeModule(LightningModule):
    """A model as declarations (networks, groups that are stepped together, averaged networks) and one training step.

    Checkpoint, evaluation, sampling and the tests walk the declarations and know no paper. A subclass also has a class
    method `inputs_from(settings)`: the inputs of the sampled network, from the model's settings alone, so that sampling
    need not build the model (see `GANModule`).

    Attributes:
        groups: optimizer name -> names of the networks that it steps.
        counting_group: whose step means that a global batch of reals has been seen.
        closing_group: whose step ends an iteration; Lightning is told of it alone, so that `trainer.global_step` counts
            iterations. A callback's `on_before_optimizer_step` is never called.
        averaged_networks: those that have a moving average.
        sampled_network: the one that makes samples.
        needs_pairs: whether sources and the reals beside them have to belong together.
        directions: of a model that translates either way, name of a direction -> its network, the sampled one first.
        inputs: draws the sampled network's inputs, see `gan_lab.sampling.LatentInputs`.
        sees: which of `condition` and `mask` D is given beside its images.
        images_seen: global number of reals seen so far.
        latest: the newest losses and scores, for a person to look at.
        report: shows (activity, done, total) to that person while training waits.
    """

    groups: ClassVar[dict[str, tuple[str, ...]]]
    counting_group: ClassVar[str]
    closing_group: ClassVar[str]
    averaged_networks: ClassVar[tuple[str, ...]]
    sampled_network: ClassVar[str] = "generator"
    needs_pairs: ClassVar[bool] = True
    directions: ClassVar[dict[str, str]] = {}
    inputs: Any
    sees: tuple[str, ...] = ()

    def __init__(self, networks: Mapping[str, nn.Module], **plumbing: Unpack[Plumbing]) -> None:
        super().__init__()
        self.automatic_optimization = False
        for name, network in networks.items():
            if not isinstance(network, nn.Module):
                raise ValueError(f"this model needs a {name}, and the chosen network=... has none; choose another")
            setattr(self, name, network)
        self._check(plumbing)
        self.batch_size, self.micro_batch_size = plumbing["batch_size"], plumbing["micro_batch_size"]
        self.seed, self.draws = plumbing["seed"], Draws(plumbing["seed"])
        self.optimizer_factories, self.schedules = dict(plumbing["optimizers"]), dict(plumbing["schedules"])
        self.clip_norm = dict(plumbing["clip_norm"])
        self.beta2 = {group: as_schedule(value) for group, value in plumbing["beta2"].items()}
        self.augment = nn.ModuleDict(_chosen(plumbing["augment"]))
        self.regularizers = nn.ModuleDict(_chosen(plumbing["regularizers"]))
        self.freeze_parts = list(plumbing["freeze"])
        half_life = plumbing["ema_half_life_kimg"]
        self.averages = nn.ModuleDict(
            {}
            if half_life is None
            else {
                name: MovingAverage(networks[name], half_life_kimg=half_life, warmup=plumbing["ema_warmup"])
                for name in self.averaged_networks
            }
        )
        self.images_seen = 0
        self.steps = dict.fromkeys(self.groups, 0)
        self.iteration_ended = True
        self._default_state = 0
        self._images_at_average = 0
        self._records = Records()
        self._lazy: dict[Regularizer, list[Phase]] = {}
        self._sound = Soundness()
        self.latest: dict[str, float] = {}
        self.report: Callable[[str, int, int], None] = lambda activity, done, total: None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        step = vars(cls).get("training_step")
        if step is not None:  # Lightning works its signature out in every iteration; Python looks here first
            step.__signature__ = inspect.signature(step)

    def __setattr__(self, name: str, value: Any) -> None:
        """As torch does, without its search of parameters and modules: Lightning notes its hooks here, 40 a step."""
        if type(value) in PLAIN and name in self.__dict__:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _check(self, plumbing: Plumbing) -> None:
        known = Plumbing.__annotations__
        for key in plumbing:
            if isinstance(plumbing[key], nn.Module):  # type: ignore[literal-required]
                raise ValueError(f"this model has no {key}, and the chosen network=... brings one; choose another")
            if key not in known:
                own = [name for c in type(self).__mro__ for name in inspect.signature(c.__init__).parameters]  # type: ignore[misc]
                close = get_close_matches(key, [*known, *own], 1)
                raise ValueError(f"unknown key {key!r} in model" + (f"; do you mean {close[0]!r}?" if close else ""))
        if missing := known.keys() - plumbing.keys():
            raise ValueError(f"model lacks {', '.join(sorted(missing))}")
        for setting in ("optimizers", "schedules", "beta2", "clip_norm"):
            for group in plumbing[setting]:
                if group not in self.groups:
                    raise ValueError(f"model.{setting} names {group!r}; the groups here are {', '.join(self.groups)}")
        for group, schedule in plumbing["schedules"].items():
            if not callable(schedule):
                raise ValueError(
                    f"model.schedules.{group} must be a schedule, such as {{_target_: gan_lab.schedules.Linear, "
                    f"start_kimg: 0, end_kimg: 100, end_factor: 0}}; got {schedule!r}"
                )
        for group in self.groups:
            if group not in plumbing["optimizers"]:
                raise ValueError(f"model.optimizers lacks {group!r}")
            check_optimizer(f"model.optimizers.{group}", plumbing["optimizers"][group])
        for name in [*plumbing["augment"], *plumbing["regularizers"]]:
            if hasattr(nn.ModuleDict, name):
                raise ValueError(f"a part of model cannot be called {name!r}, as modules of torch have a {name}")
        for name, regularizer in _chosen(plumbing["regularizers"]).items():
            if regularizer.group not in self.groups:
                raise ValueError(
                    f"model.regularizers.{name} is a term of the {regularizer.group} phase, and the groups here are "
                    f"{', '.join(self.groups)}"
                )
        for group, norm in plumbing["clip_norm"].items():
            if not _is_number(norm) or not norm > 0:
                raise ValueError(f"model.clip_norm.{group} must be more than 0, got {norm}")
        for group, value in plumbing["beta2"].items():
            if not callable(value) and not (_is_number(value) and 0 <= value < 1):
                raise ValueError(
                    f"model.beta2.{group} must be a number from 0 to below 1, or a schedule; got {value!r}"
                )
        batch, micro = plumbing["batch_size"], plumbing["micro_batch_size"]
        if batch < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch}")
        if micro is not None and (micro < 1 or batch % micro):
            raise ValueError(f"micro_batch_size must divide batch_size={batch}, got {micro}")

    def _freeze(self) -> None:
        for part in self.freeze_parts:
            if ":" in part:
                self._freeze_first(part)
                continue
            try:
                self.get_submodule(part).requires_grad_(False)
            except AttributeError as error:
                raise ValueError(f"model.freeze names {part!r}, which is no part of the networks: {error}") from error

    def _freeze_first(self, part: str) -> None:
        """Freeze as many layers of a network, from the image on, as `part`, such as "discriminator:10", says."""
        name, _, count = part.partition(":")
        network = getattr(self, name, None)
        networks = sorted({name for names in self.groups.values() for name in names})
        if name not in networks or not isinstance(network, nn.Module):
            raise ValueError(f"model.freeze={part} names no network; those here are {', '.join(networks)}")
        if not hasattr(network, "layers_from_image"):
            raise ValueError(
                f"model.freeze={part} counts layers from the image, and {type(network).__name__} does not say in which "
                "order its layers are; name parts of it, such as "
                f"{name}.{next((child for child, _ in network.named_children()), 'NAME')}"
            )
        layers: dict[str, list[nn.Parameter]] = network.layers_from_image()  # type: ignore[operator]
        if not count.isdecimal() or not 1 <= int(count) < len(layers):
            raise ValueError(
                f"model.freeze={part}: of the {len(layers)} layers of the {name}, from 1 to {len(layers) - 1} can be "
                f"frozen; they are, from the image on, {', '.join(layers)}"
            )
        frozen = list(layers)[: int(count)]
        for layer in frozen:
            for parameter in layers[layer]:
                parameter.requires_grad_(False)
        log.info(
            "not trained: the first %d of the %d layers of the %s from the image on: %s",
            *(len(frozen), len(layers), name, ", ".join(frozen)),
        )

    # What a training step uses --------------------------------------------------------------------------------

    def augmented(self, images: Tensor, *, instead: Tensor | None = None) -> Tensor:
        """`images` (reals or fakes) as D gets to see them: through every configured augmentation.

        With reals, `instead` are fakes that an augmentation may show in the place of some (of the same shape).
        """
        return self.augmented_together(images, instead=instead)[0]

    def augmented_together(
        self, images: Tensor, *, instead: Tensor | None = None, **beside: Any
    ) -> tuple[Tensor, dict[str, Any]]:
        """As `augmented`, and what D is given `beside` the images: the pictures that it sees move as these do."""
        augmentations: list[Any] = list(self.augment.values())
        if instead is not None:
            for augmentation in augmentations:
                images = augmentation.replace(images, instead, self.draws)
        pictures = {name: beside[name] for name in self.sees if name in beside}
        for augmentation in augmentations:  # whatever stands in for a real is changed as a real is
            if pictures:
                images, pictures = augmentation.together(images, pictures, self.draws)
            else:
                images = augmentation(images, self.draws)
        return images, {**beside, **pictures}

    def record_logits(self, *, real_logits: Tensor, fake_logits: Tensor) -> None:
        """D's logits of what it was shown in a step: for the curves, and for what adapts to them."""
        self.record("logits/real", real_logits)
        self.record("logits/fake", fake_logits)
        augmentations: dict[str, Any] = dict(self.augment.items())
        for name, augmentation in augmentations.items():
            augmentation.observe(real_logits.detach(), fake_logits.detach())
            for curve, value in augmentation.curves().items():
                self.record(f"augment/{name}_{curve}", value)

    def regularization(self, group: str, **tensors: Any) -> Tensor | float:
        """The sum of the configured regularizers of this phase, weighted; 0.0 where there are none.

        Those that are lazy take a step of their own when the phase's is done.

        Args:
            tensors: see `Phase`.
        """
        regularizers = self._regularizers_of(group)
        if not regularizers:
            return 0.0
        phase = Phase(**tensors)
        total: Tensor | float = 0.0
        for regularizer in regularizers:
            if regularizer.every == 1:
                total = total + self._weighted(regularizer, phase)
            elif self.steps[group] % regularizer.every == 0:
                self._lazy.setdefault(regularizer, []).append(phase.detached())
        return total

    def _regularizers_of(self, group: str) -> list[Regularizer]:
        return [r for r in self.regularizers.values() if r.group == group]  # type: ignore[misc]

    def _weighted(self, regularizer: Regularizer, phase: Phase) -> Tensor:
        penalty = regularizer(self, phase).mean()
        self.record(f"reg/{regularizer.name}", penalty)
        return regularizer.every * regularizer.weight(self.images_seen) * penalty

    def micro_batches(self, batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """The batch in micro-batches, in order; each in turn is a contiguous slice of one global micro-batch."""
        if self.micro_batch_size is None:
            return [batch]
        size = self.micro_batch_size // collectives.world()
        parts = {key: values.split(size) for key, values in batch.items()}
        return [dict(zip(parts, values, strict=True)) for values in zip(*parts.values(), strict=True)]

    @contextlib.contextmanager
    def updating(self, group: str) -> Iterator[Callable[..., None]]:
        """Update the networks of `group`: all others frozen inside, one optimizer step at the end.

        Yields `step(loss)`, to be called once with the loss of each micro-batch; all are of equal size,
        and the gradients of their mean are what the optimizer gets.
        """
        optimizer = self._optimizers[group]
        raw = optimizer.optimizer
        frozen = [p for p in self._others[group] if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        raw.zero_grad(set_to_none=True)

        micro_batches = 0

        def step(loss: Tensor) -> None:
            nonlocal micro_batches
            micro_batches += 1
            loss.backward()  # not by manual_backward, whose rounds of hooks are for scaled losses

        try:
            yield step
            self._finish_gradients(group, micro_batches)
            if group == self.closing_group:
                optimizer._on_before_step()  # LightningOptimizer.step, without a round of hooks that nothing here has
                raw.step()
                optimizer._on_after_step()
            else:
                raw.step()
            for regularizer, phases in self._lazy.items():
                raw.zero_grad(set_to_none=True)
                for phase in phases:
                    self._weighted(regularizer, phase).backward()
                self._finish_gradients(group, micro_batches, name=regularizer.name)
                raw.step()
        finally:
            self._lazy.clear()
            for parameter in frozen:
                parameter.requires_grad_(True)
        self._count(group)

    def _finish_gradients(self, group: str, micro_batches: int, name: str | None = None) -> None:
        """From summed to averaged, clipped gradients; their norm before clipping is noted, by `name` or the group's."""
        if micro_batches > 1:
            torch._foreach_div_([p.grad for p in self._own[group] if p.grad is not None], micro_batches)
        if collectives.is_distributed():  # once averaged, they tell no more on which rank they broke first
            self._sound.note_here(total_norm(self._own[group]))
        self._strategy.average_gradients(self._own[group], name or group)
        norm = self._strategy.clip_gradients(self._own[group], self.clip_norm.get(group))
        self.record(f"grad_norm/{name or group}", norm)
        self._sound.note(norm)

    def _count(self, group: str) -> None:
        self.steps[group] += 1
        self.iteration_ended = group == self.closing_group
        if group == self.counting_group:
            self.images_seen += self.batch_size
            self.draws.move_to(self.images_seen)
        if self.iteration_ended:
            images = self.images_seen - self._images_at_average
            for name, average in self.averages.items():
                average.follow(getattr(self, name), images=images, images_seen=self.images_seen)  # type: ignore[operator]
            self._images_at_average = self.images_seen
        if group in self._schedulers:
            self._schedulers[group].step()
        self._set_beta2(group, self._optimizers[group].optimizer)
        self._default_state = self._reseed()

    def _reseed(self) -> int:
        """After every step, so that a run resumed after any of them goes on as if it had drawn what came before.

        The host's generators follow at the end of a training step only: a run is resumed there, and it takes long.
        """
        return reseed_torch(self.seed, self.images_seen, sum(self.steps.values()), self.draws.detour)

    def on_train_batch_end(self, *_: Any) -> None:
        reseed_host_generators(self._default_state)

    # What is noted for the curves -----------------------------------------------------------------------------

    def record(self, name: str, value: Tensor) -> None:
        """Note a value of this step, without waiting for the device; its mean becomes a point of the curve `name`."""
        self._records.add(name, value.detach())

    def take_records(self) -> dict[str, float]:
        """The means of what was recorded since the last call, over all steps and ranks."""
        totals = self._records.take()
        if not totals:
            return {}
        means = torch.stack([total / count for total, count in totals.values()])
        return dict(zip(totals, collectives.mean(means).tolist(), strict=True))

    def _records_of_all_ranks(self) -> dict[str, Any]:
        """What a resumed rank goes on with: names, totals (ranks, names) and counts of the records so far."""
        records = self._records.totals()
        totals = [total for total, _ in records.values()]
        own = torch.stack(totals) if totals else torch.zeros(0, device=self.device)
        return {
            "names": list(records),
            "totals": collectives.gather(own.unsqueeze(0)).cpu(),
            "counts": [count for _, count in records.values()],
        }

    def check_finite(self) -> None:
        """Raise if any gradient since the last check was not finite; the one place that waits for the device."""
        norms, here = self._sound.take()
        if norms is not None and not bool(torch.isfinite(norms)):  # of averages, hence the same on every rank
            sound = collectives.broadcast_object(collectives.gather_objects(here is None or bool(here)))
            ranks = ", ".join(str(rank) for rank, one in enumerate(sound) if not one)
            raise NonFiniteError(
                f"the gradients became NaN or infinite at or before {self.images_seen} images"
                + (f", first on rank {ranks}" if ranks else "")
                + "; nothing was saved since. Lower the learning rates, clip "
                f"(+model.clip_norm.{self.closing_group}=1) or add a penalty"
            )

    def agree(self) -> None:
        """Make the buffers of all ranks equal, as before a checkpoint or an evaluation.

        Most agree anyway: batch norm is synchronized, spectral norm follows the weights. Weights are never sent: they
        take the same steps everywhere.
        """
        self._strategy.broadcast_state(self.buffers())

    # Lightning's side -----------------------------------------------------------------------------------------

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        self._freeze()
        optimizers = {}
        for group, names in self.groups.items():
            trained = [p for name in names for p in getattr(self, name).parameters() if p.requires_grad]
            if not trained:
                raise ValueError(f"model.freeze={self.freeze_parts} leaves nothing of the {group} to train")
            optimizers[group] = self.optimizer_factories[group](trained)
        for group, optimizer in optimizers.items():
            if group in self.beta2 and "betas" not in optimizer.defaults:
                raise ValueError(
                    f"model.beta2.{group} is of Adam and the like, and model.optimizers.{group} is "
                    f"{type(optimizer).__name__}, which has no betas; leave it out"
                )
            correct_for_further_steps(optimizer, self._lazy_steps(group))
            self._set_beta2(group, optimizer)
        self._schedulers = {
            group: LambdaLR(optimizers[group], self._factor(schedule)) for group, schedule in self.schedules.items()
        }
        return list(optimizers.values()), list(self._schedulers.values())

    def _lazy_steps(self, group: str) -> float:
        """Steps of lazy regularizers to each of the group's own, on average."""
        return sum(1 / r.every for r in self._regularizers_of(group) if r.every > 1)

    def _set_beta2(self, group: str, optimizer: Optimizer) -> None:
        if group in self.beta2:
            value = self.beta2[group](self.images_seen) ** (1 / (1 + self._lazy_steps(group)))
            for parameters in optimizer.param_groups:
                parameters["betas"] = (parameters["betas"][0], value)

    def _factor(self, schedule: Schedule) -> Callable[[int], float]:
        """`schedule` of the images seen, whatever Lightning's count of its calls."""
        return lambda _: schedule(self.images_seen)

    def on_fit_start(self) -> None:
        strategy: Any = self.trainer.strategy
        if collectives.is_distributed() and not hasattr(strategy, "average_gradients"):
            raise ValueError(f"{type(strategy).__name__} does not know GANs; several processes train by trainer=ddp")
        self._strategy = strategy if hasattr(strategy, "average_gradients") else OneProcess()
        optimizers = self.optimizers(use_pl_optimizer=True)
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        self._optimizers = dict(zip(self.groups, optimizers, strict=True))
        self._own = {
            group: [p for g in self._optimizers[group].optimizer.param_groups for p in g["params"]]
            for group in self.groups
        }
        self._others = {
            group: [p for other in self.groups if other != group for p in self._own[other]] for group in self.groups
        }
        for part in [*self.augment.values(), *self.regularizers.values()]:
            part.check(self)  # type: ignore[operator]
        self._check_sources(getattr(self.trainer, "datamodule", None))
        self.draws.device = self.device
        reseed_host_generators(self._reseed())

    def _check_sources(self, data: Any) -> None:
        """Sources come with the data where the generator is given pictures, and only there."""
        wanted, there = getattr(self.inputs, "condition_shape", None), getattr(data, "condition_shape", None)
        name = type(self).__name__.lower()
        if wanted is None and there is not None:
            raise ValueError(
                f"the data has sources for a generator of pictures, and that of {name} is given none; leave "
                "condition out, or choose model=pix2pix"
            )
        if wanted is not None and there is None:
            raise ValueError(
                f"{name} needs sources beside the targets, and the data has none; choose what is made of its images, "
                "such as condition=grey"
            )
        if wanted is not None and self.needs_pairs and not getattr(data, "paired", True):
            raise ValueError(
                f"{name} learns from pairs of source and target, and the sources of this data belong to other images; "
                "choose model=cyclegan or model=cut, which learn without"
            )

    def learning_rates(self) -> dict[str, float]:
        """Group -> learning rate of its next step."""
        return {group: optimizer.param_groups[0]["lr"] for group, optimizer in self._optimizers.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["inputs"] = self.inputs.state_dict()
        checkpoint["counters"] = {
            "images_seen": self.images_seen,
            "steps": dict(self.steps),
            "iteration_ended": self.iteration_ended,
            "images_at_average": self._images_at_average,
            "draws": self.draws.state_dict(),
            "records": self._records_of_all_ranks(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.inputs.load_state_dict(checkpoint["inputs"])
        counters = checkpoint["counters"]
        self.images_seen, self.steps = counters["images_seen"], dict(counters["steps"])
        self.iteration_ended = counters["iteration_ended"]
        self._images_at_average = counters["images_at_average"]
        self.draws.load_state_dict(counters["draws"])
        names, totals, counts = (counters["records"][key] for key in ("names", "totals", "counts"))
        own = totals[collectives.rank()] if len(totals) == collectives.world() else totals.mean(0)
        self._records = Records(
            {name: (total.to(self.device), count) for name, total, count in zip(names, own, counts, strict=True)}
        )

    # What other rooms ask for ---------------------------------------------------------------------------------

    def network_for_samples(self, weights: str = "ema", direction: str | None = None) -> nn.Module:
        """The sampled network: its moving average, or the live one where there is none or `weights` is "live".

        Args:
            weights: "ema" or "live".
            direction: one of `directions`, for its network; None for the sampled one.
        """
        if weights not in ("ema", "live"):
            raise ValueError(f"weights must be 'ema' or 'live', got {weights!r}")
        name = self.sampled_network if direction is None else self.directions[direction]
        if weights == "ema" and name in self.averages:
            return self.averages[name].module  # type: ignore[return-value]
        return getattr(self, name)

    def networks_for_snapshot(self) -> nn.Module:
        """What a snapshot holds: the sampled network, or by name those of all directions."""
        if not self.directions:
            return self.network_for_samples()
        return nn.ModuleDict({name: self.network_for_samples(direction=d) for d, name in self.directions.items()})

    @property
    def weights_for_samples(self) -> str:
        """ "ema" where the sampled network has a moving average, else "live"."""
        return "ema" if self.sampled_network in self.averages else "live"


RANGES: dict[str, tuple[Callable[[float], bool], str]] = {  # of optimizers' settings
    "lr": (lambda value: 0 <= value < math.inf, "a finite number of 0 or more"),
    "betas": (lambda value: 0 <= value < 1, "two numbers from 0 to below 1, such as [0.0, 0.99]"),
    "alpha": (lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    "momentum": (lambda value: 0 <= value < math.inf, "a finite number of 0 or more"),
    "eps": (lambda value: 0 <= value < math.inf, "a finite number of 0 or more"),
    "weight_decay": (lambda value: 0 <= value < math.inf, "a finite number of 0 or more"),
}


def check_optimizer(place: str, factory: Any) -> None:
    """Refuse settings that an optimizer cannot take, by their keys, before there are weights for it to move.

    Args:
        place: the dotted key of its node.
        factory: from parameters to an optimizer; its settings are known where it is a `functools.partial`.
    Raises:
        ValueError: a value out of its range, or whatever the optimizer itself says against its settings.
    """
    if not callable(factory):
        raise ValueError(f"{place} must be a node with _target_ and _partial_: true, got {factory!r}")
    settings = dict(getattr(factory, "keywords", {}))
    for key, value in settings.items():
        if key in RANGES and not isinstance(value, Tensor):
            within, expected = RANGES[key]
            values = value if key == "betas" else [value]
            sound = isinstance(values, Sequence) and len(values) == (2 if key == "betas" else 1)
            if not sound or not all(_is_number(each) and within(each) for each in values):
                raise ValueError(f"{place}.{key} must be {expected}, got {value!r}")
    try:
        optimizer = factory([nn.Parameter(torch.zeros(1, device="cpu"))])
    except Exception as error:  # of any optimizer, also a user's own
        named = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        told = f"{place}.{named[1]} is no setting of it; leave it out (~{place}.{named[1]})" if named else str(error)
        shown = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        raise ValueError(f"{place} cannot be built with {shown}: {told}") from error
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"{place} makes a {type(optimizer).__name__}, which is no optimizer")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def correct_for_further_steps(optimizer: Optimizer, further: float) -> None:
    """Let `1 + further` steps move the weights, and age Adam's moments, as one would (Karras et al. 2020, appendix B).

    With c = 1 / (1 + further), the learning rate is multiplied by c and the betas are raised to the power c.
    """
    c = 1 / (1 + further)
    for parameters in optimizer.param_groups:
        parameters["lr"] *= c
        if "betas" in parameters:
            parameters["betas"] = tuple(beta**c for beta in parameters["betas"])


def _chosen(parts: Mapping[str, Part | None]) -> dict[str, Part]:
    """Those that are not left out."""
    return {name: part for name, part in parts.items() if part is not None}


class NonFiniteError(RuntimeError):
    """Gradients, weights or scores became NaN or infinite."""
