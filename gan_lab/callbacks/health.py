"""How training fares: a look at few images now and then, and a warning that says what it may mean and what to try."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from gan_lab import collectives
from gan_lab.callbacks.base import TickCallback, callbacks_of, is_first_rank
from gan_lab.callbacks.evaluation import Evaluate
from gan_lab.callbacks.leaks import Change, change_of, leaked_share
from gan_lab.data.images import as_inputs, from_uint8, to_uint8, unchanged
from gan_lab.evaluation.isolation import scoring_mode
from gan_lab.sampling import Draws, normal_of_samples, numpy_generator, reseed_default_generators

log = logging.getLogger("gan_lab")
TINY = 32  # pixels a side at which images are compared: enough to recognize them (Torralba et al. 2008)
BESIDE = ("labels", "condition", "mask")  # what D may be given with images
WEAK = 0.2  # p below which an augmentation does not leak
ENOUGH = 16  # reals, of which it can be said how they look
CHEAP = 5_000_000  # parameters of a classifier that may count modes during training

MESSAGES = {
    "duplicates": "samples repeat: {duplicates:.0%} of them are almost equal to another one. G may be collapsing. Try "
    "a lower model.optimizers.generator.lr, a penalty on D (model.regularizers), a larger batch or another model",
    "spread": "samples are alike: they vary {spread:.2f} times as much as reals. G may be collapsing, or has not "
    "begun to learn. Try a lower model.optimizers.generator.lr, a penalty on D (model.regularizers) or a larger batch",
    "modes": "modes are missing: samples show {modes:.0f} classes, as many reals {real_modes:.0f}. G may be "
    "collapsing. Try a larger batch, a penalty on D (model.regularizers) or another model",
    "overfitting": "D over-fits: reals that it is not trained on lie {share:.0%} of the way from training reals to "
    "samples. It may be learning its reals by heart. Try augmentation (model.augment), more data or a smaller D",
    "perfect": "D wins: it is right on {accuracy:.1%} of everything, so that G may learn nothing from it. Try a lower "
    "model.optimizers.discriminator.lr, a penalty on D (model.regularizers) or noise (model.augment)",
    "copied": "samples are their sources: they differ from them by {source_distance:.0%} of what their targets do. G "
    "may do nothing. Try a longer training, a higher model.optimizers.generator.lr, or a lower weight of whatever "
    "holds samples to their sources",
    "inverted": "samples are inverted: they are light where their targets are dark, at a correlation of "
    "{target_correlation:.2f}. G may have settled on the negative. Try another seed, or a higher weight of whatever "
    "holds samples to their targets",
    "strong": "the augmentation is strong: p of model.augment.{p_name} is {p:.2f}, at most {p_max:g}. D over-fits "
    "all the same, and from about 0.8 on augmentations leak into samples. Try more data, a smaller D, an earlier "
    "snapshot, or a lower model.augment.{p_name}.p_max, such as 0.6",
    "mirrored": "samples look mirrored: as if {leak_mirrored:.0%} of them were mirrored reals; the augmentation may "
    "leak (a hint, see docs/own-pictures.md). If mirrored pictures are right, set data.flip=true; else try a lower "
    "model.augment.ada.p_max or model.augment.ada.groups.blit=0",
    "turned": "samples look turned: as if {leak_turned:.0%} of them were turned reals; the augmentation may leak (a "
    "hint, see docs/own-pictures.md). Try a lower model.augment.ada.p_max, or 0 for model.augment.ada.groups.blit and "
    "geometry",
    "tinted": "samples look tinted: as if {leak_tinted:.0%} of them were reals of changed colours; the augmentation "
    "may leak (a hint, see docs/own-pictures.md). Try a lower model.augment.ada.p_max or "
    "model.augment.ada.groups.color=0",
    "hidden": "samples hide their sources: with noise of {noise_levels:g} levels of 255 on a sample, what comes back "
    "of it is further off, by {cycle_gap:.0%} (AtoB) and {cycle_gap_back:.0%} (BtoA) of what another source would be. "
    "G may write into its samples, below what is seen, what it needs to undo them. Try a lower model.cycle_weight, or "
    "model=cut, which has no way back",
}


@dataclass(frozen=True)
class Reals:
    """The same few reals of each look, with what samples are held against.

    Attributes:
        images: "real", and "held_out" where there are any -> (N, C, H, W) uint8 on the CPU, and what D is given beside
            them, by keyword: labels, or the sources and masks of a translation, of which G makes its samples.
        distance: median distance of a training real to the nearest other one.
        duplicates, spread, modes: as the columns have them for samples.
        changes: ways in which an augmentation may show in samples -> what it does to these reals.
    """

    images: dict[str, tuple[Tensor, dict[str, Tensor]]]
    distance: float
    duplicates: float
    spread: float
    modes: int
    changes: dict[str, Change] = field(default_factory=dict)


class Health(TickCallback):
    """Records `health/...` at intervals and at the end, and warns of what looks wrong, once until it has passed.

    Looks at the live generator and at D in the modes in which they train, and leaves no trace in training: in eval mode
    a network with batch normalization is another one than that which trains. D gets to see images through the model's
    `judge`, reals and fakes in batches of their own, as large as in training and shared among the ranks likewise, since
    synchronized layers have messages for all of them. Of data that are no images there is no look, which is said once.
    The values stand in the next row of metrics.csv:

    - `d_accuracy_real`, `_held_out`, `_fake`: shares on the right side of the model's `boundary`; a critic has none.
    - `logit_gap`, `logit_gap_held_out`: mean logit of training reals minus that of fakes, and of held-out reals: the
      test split, or what `data.limit` leaves out. Without either there is no column of held-out reals.
    - `duplicates`: share of samples with another one nearer than `near` times the median distance of reals to their
      nearest, or equal; at 32x32 pixels. Equally many reals. (After the birthday test of Arora and Zhang 2018, where
      people look at the nearest pairs.)
    - `spread`: mean over pixels of the standard deviation over samples, relative to that of reals.
    - `source_distance`: of translators, mean absolute difference of samples and their sources, relative to that of the
      targets; NaN where a source is no picture of the target's kind, or all are their targets.
    - `target_correlation`: of translators, that of the values of samples and their targets, all of them at once; NaN
      where either are of one level. Not where sources come of another set, and have no targets.
    - `cycle_gap`, `cycle_gap_back`: of models that translate either way, by how much more what comes of a source there
      and back is off where what lies between was given slight noise, relative to the distance of another source; of
      sources, and of targets. A generator that hides its source in its samples has a large one (Chu et al. 2017,
      "CycleGAN, a Master of Steganography"). NaN where all are equal.
    - `leak_mirrored`, `leak_turned`, `leak_tinted`: share of samples that look like reals changed so, where an
      augmentation does that and the data does not: 0 where it is not certain, NaN where reals do not tell, see
      `gan_lab.callbacks.leaks`. Told of only while p is 0.2 or more.
    - `modes`: classes found among samples by the evaluation's extractor, where that is a cheap classifier of the
      data's.

    Args:
        every_kimg: from one look to the next, in thousands of images; None for the end alone.
        images: how many of each kind, 2 or more; a smaller data set gives fewer.
        near: see `duplicates`, in (0, 1).
        in_a_row: how many looks have to find a condition before a warning, 1 or more.
        duplicates: warn where the share exceeds that of reals by so much.
        spread: warn below this.
        modes: warn below this share of the classes that as many reals show.
        overfitting: warn where `logit_gap_held_out` is at least this share of `logit_gap` (Karras et al. 2020, "ADA",
            equation 1), if that is wider than the logits of either side vary.
        perfect: warn where every accuracy is at least this.
        copied: warn where `source_distance` is below this.
        inverted: warn where `target_correlation` is below minus this.
        leaked: warn where one of the shares of leaks is at least this.
        strong: warn where the p of an augmentation that adapts is at least this, or at its own `p_max`.
        hidden: warn where a `cycle_gap` is at least this.
        noise_levels: standard deviation of the noise of `cycle_gap` in levels of 255, more than 0.
    """

    def __init__(
        self,
        *,
        every_kimg: float | None,
        images: int,
        near: float,
        in_a_row: int,
        duplicates: float,
        spread: float,
        modes: float,
        overfitting: float,
        perfect: float,
        copied: float,
        inverted: float,
        leaked: float,
        strong: float,
        hidden: float,
        noise_levels: float,
    ) -> None:
        super().__init__(every_kimg)
        if images < 2 or in_a_row < 1:
            raise ValueError(f"callbacks.health needs images >= 2 and in_a_row >= 1, got {images} and {in_a_row}")
        self.limits = {"duplicates": duplicates, "spread": spread, "modes": modes}
        self.limits |= {"overfitting": overfitting, "perfect": perfect, "copied": copied, "inverted": inverted}
        self.limits |= {"hidden": hidden, "leaked": leaked, "strong": strong}
        for name, value in ({"near": near} | self.limits).items():
            if not 0 < value <= 1:
                raise ValueError(f"callbacks.health.{name} must be in (0, 1], got {value}")
        if not 0 < noise_levels <= 255:
            raise ValueError(
                f"callbacks.health.noise_levels are of 255, more than 0 and at most 255, got {noise_levels}"
            )
        self.size, self.near, self.in_a_row, self.noise_levels = images, near, in_a_row, noise_levels
        self.times = dict.fromkeys(MESSAGES, 0)
        self.reals: Reals | None = None
        self.classifier: Any = None
        self.held_out: str | None = None
        self.columns: list[str] = []
        self.leaks: list[str] = []
        self.aside = False

    def state_dict(self) -> dict[str, Any]:
        return {"times": dict(self.times)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.times |= state_dict["times"]

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Decide on the columns, which all ranks record."""
        super().on_train_start(trainer, pl_module)
        data = trainer.datamodule  # type: ignore[attr-defined]
        self.aside = len(data.sample_shape) != 3
        if self.aside:
            log.info("health looks at images, and %s holds none: this run goes without", data.name)
            return
        self.reals = None
        self.held_out = held_out_split(data)
        with undisturbed(pl_module):
            self.classifier = classifier_of(trainer, data, pl_module.device)
        self.columns = ["duplicates", "spread"] + ["modes"] * (self.classifier is not None)
        if hasattr(pl_module.inputs, "condition_shape"):
            self.columns += ["source_distance"] + ["target_correlation"] * (data.source_data is None)
        if pl_module.directions:
            self.columns += ["cycle_gap", "cycle_gap_back"]
        self.leaks = leaks_of(pl_module, data)
        self.columns += [f"leak_{kind}" for kind in self.leaks]
        if hasattr(pl_module, "judge"):
            held_out = ["_held_out"] * (self.held_out is not None)
            self.columns += ["logit_gap", *(f"logit_gap{kind}" for kind in held_out)]
            if pl_module.boundary is not None:
                self.columns += [f"d_accuracy{kind}" for kind in ("_real", *held_out, "_fake")]

    def tick(self, trainer: Trainer, module: Any) -> None:
        module.check_finite()
        if self.aside:
            return
        values = dict.fromkeys(self.columns, 0.0)
        with undisturbed(module):
            found = self.look(trainer.datamodule, module)  # type: ignore[attr-defined]
        if is_first_rank():
            self.tell(found, module.images_seen)
            # A record is a mean over the ranks; this one's values stand, to the bit and whatever the others have found.
            values = {name: collectives.world() * found[name] for name in self.columns}
        for name, value in values.items():
            module.record(f"health/{name}", torch.tensor(value, device=module.device))

    def look(self, data: Any, module: Any) -> dict[str, float]:
        """The columns' values, and what else the messages quote."""
        reals = self.reals = self.reals or self.choose_reals(data, module)
        pixels, logits = self.sample(data, module, len(reals.images["real"][0]))
        found = {
            "duplicates": duplicate_rate(nearest_distances(pixels), reals.distance, near=self.near),
            "spread": pixel_spread(pixels) / reals.spread if reals.spread else float("nan"),
            "modes": self.count_modes(pixels, module),
            "real_modes": reals.modes,
        }
        if hasattr(module.inputs, "condition_shape"):
            targets, beside = reals.images["real"]
            about = about_sources(pixels, targets=targets, sources=to_uint8(beside["condition"]))
            found |= {name: value for name, value in about.items() if name in self.columns}
        found |= about_augmentation(module)
        found |= {f"leak_{kind}": float("nan") for kind in self.leaks}
        found |= {f"leak_{kind}": leaked_share(change, pixels) for kind, change in reals.changes.items()}
        if module.directions:
            found |= self.cycle_gaps(module)
        if logits is None:
            return found
        of = {"fake": logits} | {kind: self.judged_reals(module, *images) for kind, images in reals.images.items()}
        return found | about_logits(of, getattr(module, "boundary", None))

    def conditions(self, found: dict[str, float]) -> dict[str, bool]:
        """Which conditions hold; what is not known does not."""
        reals, limits = self.reals, self.limits
        assert reals is not None
        return {
            "duplicates": found["duplicates"] - reals.duplicates >= limits["duplicates"],
            "spread": found["spread"] < limits["spread"],
            "modes": found["modes"] < limits["modes"] * reals.modes,
            "overfitting": found.get("share", 0.0) >= limits["overfitting"],
            "perfect": found.get("accuracy", 0.0) >= limits["perfect"],
            "copied": found.get("source_distance", 1.0) < limits["copied"],
            "inverted": found.get("target_correlation", 0.0) < -limits["inverted"],
            "strong": found.get("p", 0.0) >= min(limits["strong"], found.get("p_max", 1.0)),
            **{
                kind: found.get(f"leak_{kind}", 0.0) >= limits["leaked"] and found.get("p", 1.0) >= WEAK
                for kind in ("mirrored", "turned", "tinted")
            },
            "hidden": any(found.get(name, 0.0) >= limits["hidden"] for name in ("cycle_gap", "cycle_gap_back")),
        }

    def tell(self, found: dict[str, float], images_seen: int) -> None:
        """Warn of what has been found often enough, and say when it has passed."""
        for name, holds in self.conditions(found).items():
            told = self.times[name] >= self.in_a_row
            self.times[name] = self.times[name] + 1 if holds else 0
            message = MESSAGES[name].format_map(found) if holds else MESSAGES[name].partition(":")[0]
            if holds and not told and self.times[name] >= self.in_a_row:
                log.warning("health at %.1f kimg: %s.", images_seen / 1000, message)
            elif told and not holds:
                log.info("health at %.1f kimg: it has passed that %s.", images_seen / 1000, message)

    def choose_reals(self, data: Any, module: Any) -> Reals:
        """Which reals are looked at: a function of the seed."""
        sets = {"real": data.stream.samples}
        if self.held_out is not None:
            sets["held_out"] = data.reference(self.held_out)
        images = {}
        for kind, samples in sets.items():
            random = numpy_generator(module.seed, f"health {kind}")
            chosen = sorted(random.choice(len(samples), min(self.size, len(samples)), replace=False))
            chosen_pixels, beside = torch.from_numpy(samples.images[chosen]), {}
            condition = data.condition_of(samples)
            if condition is not None:
                beside = as_inputs(condition.make(chosen_pixels, torch.tensor(chosen), None))
            elif data.source_data is not None:
                beside = data.sources("train").inputs(0, len(chosen))
            elif samples.labels is not None:
                beside["labels"] = torch.from_numpy(samples.labels[chosen])
            images[kind] = (chosen_pixels, beside)
        pixels, _ = images["real"]
        nearest = nearest_distances(pixels)
        distance = nearest.median().item() if len(pixels) > 1 else 0.0
        duplicates = duplicate_rate(nearest, distance, near=self.near)
        changes = {kind: change_of(kind, pixels) for kind in self.leaks} if len(pixels) >= ENOUGH else {}
        return Reals(images, distance, duplicates, pixel_spread(pixels), self.count_modes(pixels, module), changes)

    def sample(self, data: Any, module: Any, count: int) -> tuple[Tensor, Tensor | None]:
        """(count, C, H, W) uint8 samples of the live generator, and D's (count,) logits of them."""
        shares = shares_of(count, module)
        draws = Draws(module.seed, across_ranks=False)
        draws.move_to(module.images_seen)
        if hasattr(module.inputs, "condition_shape"):
            assert self.reals is not None
            arguments = module.inputs.completed(draws, self.reals.images["real"][1])
        else:
            arguments = module.inputs.draw(draws, count)
        network = module.network_for_samples("live")
        pixels, logits = [], []
        for share in shares:
            given = shared(arguments, share, module)
            made = network(**given)
            pixels.append(collectives.gather(data.render(made)).cpu())
            if hasattr(module, "judge"):
                logits.append(judged(module, made, {name: given[name] for name in BESIDE if name in given}))
        return torch.cat(pixels)[:count], torch.cat(logits)[:count] if logits else None

    def cycle_gaps(self, module: Any) -> dict[str, float]:
        """The columns of the cycles, of the live generators of both directions, and the noise for the message."""
        assert self.reals is not None
        targets, beside = self.reals.images["real"]
        there, back = (module.network_for_samples("live", direction) for direction in module.directions)
        cycles = {
            "cycle_gap": (to_uint8(beside["condition"]), there, back),
            "cycle_gap_back": (targets, back, there),
        }
        gaps = {name: self.cycle_gap(module, *cycle) for name, cycle in cycles.items()}
        return gaps | {"noise_levels": self.noise_levels}

    def cycle_gap(self, module: Any, sources: Tensor, there: nn.Module, back: nn.Module) -> float:
        """`hidden_share` of (N, C, H, W) uint8 sources; the noise is a function of (seed, number of the source)."""
        plain: list[Tensor] = []
        noisy: list[Tensor] = []
        for share in shares_of(len(sources), module):
            made = there(condition=from_uint8(sources[share].to(module.device)).to(dtype_of(module)))
            noise = normal_of_samples(module.seed, "cycle noise", share.tolist(), made.shape[1:]).to(made)
            for found, between in ((plain, made), (noisy, made + self.noise_levels / 127.5 * noise)):
                found.append(collectives.gather(to_uint8(back(condition=between))).cpu())
        came_back = (torch.cat(found)[: len(sources)] for found in (plain, noisy))
        return hidden_share(sources, *came_back)

    def judged_reals(self, module: Any, pixels: Tensor, beside: dict[str, Tensor]) -> Tensor:
        """(N,) logits of reals."""
        logits = []
        for share in shares_of(len(pixels), module):
            images = from_uint8(pixels[share].to(module.device)).to(dtype_of(module))
            logits.append(judged(module, images, shared(beside, share, module)))
        return torch.cat(logits)[: len(pixels)]

    def count_modes(self, pixels: Tensor, module: Any) -> int:
        """How many classes are found among images; 0 without a classifier."""
        if self.classifier is None:
            return 0
        parts = [part.to(module.device) for part in pixels.split(module.micro_batch_size or module.batch_size)]
        return len(torch.cat([self.classifier(part)["logits"].argmax(1) for part in parts]).unique())


@contextlib.contextmanager
def undisturbed(module: Any) -> Iterator[None]:
    """What the networks do inside, in the modes in which they train, leaves no trace in training.

    Afterwards running statistics, the vectors of spectral normalization and all other buffers have the bits that they
    had, and so has whatever `scoring_mode` puts back; augmentations and noise draw apart.
    """
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    draws, module.draws = module.draws, Draws(module.seed, device=module.device)
    module.draws.move_to(module.images_seen)
    try:
        with scoring_mode(module, module.device):
            for part, training in modes:  # not in eval mode, unlike samples that are scored
                part.training = training
            reseed_default_generators(module.seed, module.images_seen)
            yield
    finally:
        module.draws = draws
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def held_out_split(data: Any) -> str | None:
    """The reals that D is not trained on, as a name for `data.reference`; None where there are none."""
    if "test" in data.splits:
        return "test"
    if data.limit is None:
        return None
    return f"train[{data.limit}:]" if data.limit < len(data.reference("train")) else None


def leaks_of(module: Any, data: Any) -> list[str]:
    """Ways in which the model's augmentations change pictures and its data does not, in order."""
    shown: set[str] = set()
    for augmentation in module.augment.values():
        shown |= augmentation.may_leave()
    shown -= {"mirrored"} if getattr(data, "flip", False) else set()
    shown -= {"turned"} if getattr(data, "quarter_turns", False) else set()
    return sorted(shown)


def about_augmentation(module: Any) -> dict[str, Any]:
    """Of the augmentation that adapts and is the strongest: `p`, its most `p_max`, and what the config calls it."""
    found: dict[str, Any] = {}
    for name, augmentation in module.augment.items():
        curve = augmentation.curves().get("p")
        if curve is not None and curve.item() >= found.get("p", 0.0):
            found = {"p": curve.item(), "p_max": getattr(augmentation, "p_max", 1.0), "p_name": name}
    return found


def classifier_of(trainer: Trainer, data: Any, device: torch.device) -> Any:
    """The evaluation's extractor, where its logits are the data's classes and it is cheap; else None."""
    stage = next((callback.evaluation for callback in callbacks_of(trainer, Evaluate)), None)
    extractor: nn.Module | None = getattr(stage, "extractor", None)
    if extractor is None or data.num_classes is None or sum(p.numel() for p in extractor.parameters()) > CHEAP:
        return None
    outputs = extractor(torch.zeros(1, *data.sample_shape, dtype=torch.uint8, device=device))
    return extractor if "logits" in outputs and outputs["logits"].shape[1] == data.num_classes else None


def shares_of(count: int, module: Any) -> Tensor:
    """Which of `count` images this rank takes in each batch of a look, with batches as large as those of training.

    The last batch is filled up from the beginning: batch statistics, groups of samples and messages among the ranks are
    those of whole batches.

    Returns:
        (batches, images of this rank) int64; the shares of all ranks in a row, batch after batch, begin with
        0 .. count - 1.
    """
    size = module.micro_batch_size or module.batch_size
    batches = (torch.arange(-(-count // size) * size) % count).view(-1, size)
    share = size // collectives.world()
    return batches[:, collectives.rank() * share : (collectives.rank() + 1) * share]


def dtype_of(module: Any) -> torch.dtype:
    """What the networks compute in."""
    return next(module.parameters()).dtype


def shared(tensors: Mapping[str, Tensor], share: Tensor, module: Any) -> dict[str, Tensor]:
    """This rank's share of each on the module's device, real numbers as the networks compute."""
    dtype = dtype_of(module)
    moved = {name: value[share].to(module.device) for name, value in tensors.items()}
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in moved.items()}


def judged(module: Any, images: Tensor, beside: Mapping[str, Tensor]) -> Tensor:
    """(B,) float64 logits on the CPU for the batch of which each rank has a share, in rank order.

    Those of a patch discriminator, (B, ...), are averaged per sample.
    """
    logits = collectives.gather(module.judge(images, **beside)).double().cpu()
    return logits.reshape(len(logits), -1).mean(1)


def nearest_distances(pixels: Tensor) -> Tensor:
    """(N,) float64: each image's Euclidean distance to the nearest other one, of (N, C, H, W) uint8; 0 if equal.

    Sums of squares of bytes are whole numbers below 2^53, hence exact in float64 whatever their order.
    """
    if max(pixels.shape[-2:]) > TINY:
        height, width = (min(TINY, side) for side in pixels.shape[-2:])
        pixels = adaptive_avg_pool2d(pixels.float(), (height, width)).round()
    values = pixels.flatten(1).double()
    squares = values.square().sum(1)
    distances = squares[:, None] + squares - 2 * values @ values.T
    return distances.fill_diagonal_(torch.inf).amin(1).sqrt()


def duplicate_rate(nearest: Tensor, distance: float, *, near: float) -> float:
    """Share of `nearest` that is 0, or below `near` times the `distance` that is usual."""
    return ((nearest == 0) | (nearest < near * distance)).double().mean().item()


def pixel_spread(pixels: Tensor) -> float:
    """Mean over pixels of the standard deviation over (N, C, H, W) images, in levels of a byte."""
    return pixels.double().std(0, correction=0).mean().item()


def about_sources(samples: Tensor, *, targets: Tensor, sources: Tensor) -> dict[str, float]:
    """`source_distance` and `target_correlation` of (N, C, H, W) uint8 samples; see `Health`.

    Args:
        targets: (N, C, H, W) uint8, in the same order.
        sources: (N, C', H', W') uint8.
    """
    distance = float("nan")
    with contextlib.suppress(ValueError):  # no such pictures
        copies = unchanged(sources, targets.shape[1:]).float()
        of_targets = (targets.float() - copies).abs().mean().item()
        distance = (samples.float() - copies).abs().mean().item() / of_targets if of_targets else distance
    pair = torch.stack([samples.flatten(), targets.flatten()]).double()
    return {"source_distance": distance, "target_correlation": torch.corrcoef(pair)[0, 1].item()}


def hidden_share(sources: Tensor, plain: Tensor, noisy: Tensor) -> float:
    """How much further `noisy` is off the sources than `plain`, relative to how far these are from one another.

    Args:
        sources, plain, noisy: (N, C, H, W) uint8 in the same order.
    Returns:
        0 where noise makes no difference, 1 where it makes another source of a right one, by mean absolute differences;
        NaN where sources are equal.
    """
    off, off_with_noise, another = (
        (pictures.float() - sources.float()).abs().mean().item() for pictures in (plain, noisy, sources.roll(1, 0))
    )
    return (off_with_noise - off) / another if another else float("nan")


def about_logits(logits: dict[str, Tensor], boundary: float | None) -> dict[str, float]:
    """Gaps and accuracies from (N,) logits of "real", "fake" and, where there are any, "held_out".

    Returns:
        the columns; `share` of the gap that held-out reals lie apart; `accuracy`, the least one.
    """
    real, fake, held_out = logits["real"], logits["fake"], logits.get("held_out")
    found = {"logit_gap": (real.mean() - fake.mean()).item()}
    if held_out is not None:
        found["logit_gap_held_out"] = (real.mean() - held_out.mean()).item()
        if found["logit_gap"] > max(side.std(correction=0).item() for side in (real, fake)):
            found["share"] = found["logit_gap_held_out"] / found["logit_gap"]
    if boundary is not None:
        right = {kind: values < boundary if kind == "fake" else values > boundary for kind, values in logits.items()}
        accuracies = {f"d_accuracy_{kind}": side.double().mean().item() for kind, side in right.items()}
        found |= accuracies | {"accuracy": min(accuracies.values())}
    return found
