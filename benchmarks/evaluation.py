"""The evaluation stage beside torch-fidelity and torchmetrics, on the CPU: python benchmarks/evaluation.py

All score the same images in memory with the same InceptionV3, whose weights are random: speed and parity mean
something, the scores do not. In every round each takes its turn, in another order each time. Prints

    images/s of ours (loading the weights, features of both sides, FID) beside torch-fidelity's `calculate_metrics` and
        torchmetrics' `FrechetInceptionDistance` fed by hand, `ratio` ours/theirs (bar: 1.0, beyond the spread);
    `ratio frechet/...`, CPU seconds of the Frechet distance alone, the reals' statistics at hand (bar: 0.3); waiting
        threads count. --threads bounds torch's, OPENBLAS_NUM_THREADS those of NumPy, which torch-fidelity uses;
    peak memory of each, in a process of its own;
    the calls of the extractor in a first and in a second evaluation against the same reference.

A try of a minute: --images 20 --rounds 2 --samples 3000
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.data.reference import ReferenceSet
from gan_lab.evaluation.stage import Evaluation
from gan_lab.extractors.inception import Inception
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.reference import Reference, ReferenceStatistics

BLOCK = 50  # conf/evaluation/default.yaml; torch-fidelity's own is 64
CPU = torch.device("cpu")
COLUMNS = 2048


def write_random_weights(path: Path) -> None:
    """InceptionV3 in torch-fidelity's format, batch norm calibrated so that features keep their spread."""
    from torch_fidelity import feature_extractor_inceptionv3 as port

    with (
        patch.object(port, "load_state_dict_from_url"),
        patch.object(port.FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        torch.manual_seed(0)
        network = port.FeatureExtractorInceptionV3("random", [str(COLUMNS)])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(pictures(8, contrast=50, seed=0))
    torch.save(network.state_dict(), path)


def pictures(count: int, contrast: float, seed: int) -> Tensor:
    """(count, 3, 32, 32) uint8: smooth colours and some grain."""
    generator = torch.Generator().manual_seed(seed)
    smooth = F.interpolate(torch.randn(count, 3, 5, 5, generator=generator), (32, 32), mode="bicubic")
    grain = torch.randn(count, 3, 32, 32, generator=generator)
    return (128 + contrast * smooth + 8 * grain).round().clamp(0, 255).to(torch.uint8)


class Images:
    """A data set of images in memory, as the stage takes it."""

    name = "pictures"

    def __init__(self, images: Tensor) -> None:
        self.images = ReferenceSet(name=self.name, split="train", images=images.numpy(), labels=None)

    def reference(self, split: str) -> ReferenceSet:
        return self.images


# The contestants ----------------------------------------------------------------------------------------------------


def stage(weights: Path, count: int, cache: Path | None = None, block: int = BLOCK, made: list | None = None):
    """A new Evaluation with FID; the extractor it makes is added to `made`."""

    def make() -> Inception:
        extractor = Inception(weights=weights, layer=str(COLUMNS), resize="legacy", download=False)
        if made is not None:
            made.append(extractor)
        return extractor

    return Evaluation(
        extractor=make,
        metrics={"frechet": FrechetDistance()},
        num_samples=count,
        block_size=block,
        seed=0,
        reference="train",
        monitor="frechet",
        cache_dir=cache,
    )


def ours(weights: Path, real: Tensor, fake: Tensor) -> float:
    scores = stage(weights, len(fake)).score_images(Images(fake).images, Images(real), device=CPU)
    return scores.monitored_value


class Listed(torch.utils.data.Dataset):
    """As torch-fidelity takes images."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def torch_fidelity(weights: Path, real: Tensor, fake: Tensor) -> float:
    from torch_fidelity import calculate_metrics

    return calculate_metrics(
        input1=Listed(fake),
        input2=Listed(real),
        fid=True,
        feature_extractor_weights_path=str(weights),
        cuda=False,
        cache=False,
        verbose=False,
        num_workers=0,  # quicker for images in memory than its own choice
    )["frechet_inception_distance"]


def torchmetrics(weights: Path, real: Tensor, fake: Tensor) -> float:
    from torchmetrics.image.fid import FrechetInceptionDistance

    # Its default, antialias=True, is quicker and another protocol: scores of the two resizes must not be mixed.
    metric = FrechetInceptionDistance(feature=COLUMNS, antialias=False, feature_extractor_weights_path=str(weights))
    for batch in real.split(BLOCK):
        metric.update(batch, real=True)
    for batch in fake.split(BLOCK):
        metric.update(batch, real=False)
    return metric.compute().item()


CONTESTANTS: dict[str, Callable[[Path, Tensor, Tensor], float]] = {
    "ours": ours,
    "torch_fidelity": torch_fidelity,
    "torchmetrics": torchmetrics,
}


# Measured -----------------------------------------------------------------------------------------------------------


def in_turn(work: dict[str, Callable[[], float]], rounds: int, after: Callable[[], None]) -> dict[str, list[dict]]:
    """Wall and CPU seconds and result of each, round by round, the first one another each time."""
    found: dict[str, list[dict]] = {name: [] for name in work}
    names = list(work)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            cpu, wall = time.process_time(), time.perf_counter()
            value = work[name]()
            found[name].append({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "value": value})
        after()
    return found


def ratio_line(name: str, ratios: list[float], bar: str) -> str:
    spread = f"range {min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} rounds"
    return f"ratio {name} {statistics.median(ratios):.3f}  ({spread}; {bar})"


def show_speed(weights: Path, count: int, rounds: int) -> None:
    real, fake = pictures(count, contrast=50, seed=1), pictures(count, contrast=40, seed=2)
    work = {name: partial(contestant, weights, real, fake) for name, contestant in CONTESTANTS.items()}
    found = in_turn(work, rounds, lambda: print(f"  {load()}", file=sys.stderr, flush=True))
    print(f"{count} images a side, {rounds} rounds, {load()}")
    for name, turns in found.items():
        rates = sorted(2 * count / turn["wall"] for turn in turns)
        cpu = statistics.median(turn["cpu"] for turn in turns)
        print(
            f"  {name:<15} {statistics.median(rates):7.2f} images/s  ({rates[0]:.2f} to {rates[-1]:.2f}), "
            f"{cpu:.1f} CPU-s, FID {turns[-1]['value']:.4f}"
        )
    for name in list(found)[1:]:
        pairs = list(zip(found["ours"], found[name], strict=True))
        for kind, suffix in (("wall", ""), ("cpu", "_cpu")):
            ratios = [theirs[kind] / ours[kind] for ours, theirs in pairs]
            print(ratio_line(f"images_per_s{suffix}/{name}", ratios, "bar: 1 or more"), flush=True)


def show_frechet(kind: str, samples: int, rounds: int) -> None:
    """Of "independent" columns, or of "correlated" ones, whose covariance is almost singular."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(COLUMNS, COLUMNS, generator=generator) / COLUMNS**0.5
    real, fake = (torch.randn(samples, COLUMNS, generator=generator) * scale for scale in (1.0, 1.1))
    if kind == "correlated":
        real, fake = real @ mixing, fake @ mixing
    reference = Reference(ReferenceStatistics.from_features(real), real.numpy(), None)
    cached = fid_features_to_statistics(real)

    def ours_alone() -> float:
        metric = FrechetDistance()
        metric.set_reference(reference)
        for block in fake.split(BLOCK):
            metric.update(block)
        return metric.compute()[""]

    def theirs_alone() -> float:
        found = fid_statistics_to_metric(fid_features_to_statistics(fake), cached, verbose=False)
        return found["frechet_inception_distance"]

    found = in_turn({"ours": ours_alone, "torch_fidelity": theirs_alone}, rounds, lambda: None)
    print(f"Frechet distance of {samples} x {COLUMNS} {kind} features, reals' statistics at hand, {load()}")
    for name, turns in found.items():
        cpu = sorted(turn["cpu"] for turn in turns)
        print(
            f"  {name:<15} {statistics.median(cpu):6.2f} CPU-s  ({cpu[0]:.2f} to {cpu[-1]:.2f}), "
            f"distance {turns[-1]['value']:.9f}"
        )
    ratios = [a["cpu"] / b["cpu"] for a, b in zip(found["ours"], found["torch_fidelity"], strict=True)]
    print(ratio_line(f"frechet/{kind}", ratios, "bar: 0.3 or less"), flush=True)


def show_memory(weights: Path, count: int) -> None:
    print(f"peak memory, {count} images a side, each in a process of its own:")
    for name in ("nothing", *CONTESTANTS):
        command = [sys.executable, __file__, "--alone", name, "--weights", str(weights), "--images", str(count)]
        print(f"  {name:<15} {subprocess.run(command, capture_output=True, text=True, check=True).stdout}", end="")


def alone(name: str, weights: Path, count: int) -> None:
    """Print the peak of this process with one contestant; of the imports, with `nothing`."""
    if name in CONTESTANTS:
        CONTESTANTS[name](weights, pictures(count, contrast=50, seed=1), pictures(count, contrast=40, seed=2))
    if sys.platform == "linux":  # where ru_maxrss starts at that of the process which started this one
        status = Path("/proc/self/status").read_text()
        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    else:
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**10 if sys.platform == "darwin" else 1)
    print(f"{kib / 2**10:.0f} MiB")


def show_second_evaluation(weights: Path, folder: Path) -> None:
    count, block = 8, 4
    real, fake = pictures(count, contrast=50, seed=1), pictures(count, contrast=40, seed=2)
    seen, values = [], []
    for _ in range(2):  # a new stage each time, as in a new process
        made: list[Inception] = []
        evaluation = stage(weights, count, folder / "cache", block, made)
        calls = []
        with patch.object(Inception, "extract", autospec=True, side_effect=counted(calls, Inception.extract)):
            scores = evaluation.score_images(Images(fake).images, Images(real), device=CPU)
        seen.append(len(calls))
        values.append(scores.monitored_value)
    blocks = -(-count // block)
    print(f"calls of the extractor: first evaluation {seen[0]}, second one {seen[1]}, of which {blocks} are for fakes")
    if seen != [2 * blocks, blocks] or values[0] != values[1]:
        sys.exit("the second evaluation spent something on the reference, or gave another score")


def counted(calls: list, function: Callable) -> Callable:
    def wrapper(*arguments):
        calls.append(1)
        return function(*arguments)

    return wrapper


def load() -> str:
    return f"load of the machine {os.getloadavg()[0]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="a side")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each in the contest of images/s")
    parser.add_argument("--samples", type=int, default=6000, help="rows of the synthetic features")
    parser.add_argument("--frechet-rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, help="of all contestants; as many as there are cores by default")
    parser.add_argument("--only", choices=["speed", "frechet", "memory", "second"])
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        alone(chosen.alone, chosen.weights, chosen.images)
        return
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores, {load()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.pth"
        write_random_weights(weights)
        if chosen.only in (None, "second"):
            show_second_evaluation(weights, Path(folder))
        if chosen.only in (None, "frechet"):
            for kind in ("independent", "correlated"):
                show_frechet(kind, chosen.samples, chosen.frechet_rounds)
        if chosen.only in (None, "memory"):
            show_memory(weights, min(chosen.images, 100))
        if chosen.only in (None, "speed"):
            show_speed(weights, chosen.images, chosen.rounds)


if __name__ == "__main__":
    main()
