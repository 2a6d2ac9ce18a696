"""Breaks the evaluation on purpose, one way at a time, and shows which test notices: python benchmarks/mutations.py

Each mutation is an exact replacement in a copy of the working tree, whose tests are run there until one fails. Prints a
line for each: what was broken, the first test that failed, seconds. Exits with 1 if a mutation survives, cannot be
applied, or keeps the tests from running, and if the tests fail before anything is broken.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("gan_lab", "conf", "experiments", "tests", "benchmarks", "pyproject.toml", "README.md", "CONTRIBUTING.md")

CONTRACT = "tests/contracts/test_evaluation_contract.py"
STAGE = "tests/evaluation/test_stage.py"
CACHE = "tests/metrics/test_reference_cache.py"
FRECHET = "tests/metrics/test_frechet.py"
MOMENTS = "tests/metrics/test_moments.py"


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` in `path`, as often as it stands there `times`; `tests` are files or tests of them."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    times: int = 1


MUTATIONS = [
    # The seven of the acceptance tests.
    Mutation(
        "seed per rank",
        "gan_lab/evaluation/sources.py",
        "        draws.move_to(block)\n        reseed_default_generators(self.seed, block, across_ranks=False)\n",
        "        draws.move_to(block + 1000 * collectives.rank())\n"
        "        reseed_default_generators(self.seed, block, across_ranks=False)\n",
        (STAGE, f"{CONTRACT}::test_the_same_bits_on_any_number_of_ranks"),
    ),
    Mutation(
        "seed per rank, of the generator's own noise",
        "gan_lab/evaluation/sources.py",
        "        reseed_default_generators(self.seed, block, across_ranks=False)\n        drawn",
        "        reseed_default_generators(self.seed, block, across_ranks=True)\n        drawn",
        (STAGE, f"{CONTRACT}::test_the_same_bits_on_any_number_of_ranks"),
    ),
    Mutation(
        "padding sampler: ranks filled up to equal numbers of blocks",
        "gan_lab/evaluation/stage.py",
        "        for block in range(collectives.rank(), -(-self.num_samples // self.block_size), "
        "collectives.world()):\n"
        "            made = source.make(block, self.block_size)\n"
        "            made.count = min(made.count, self.num_samples - block * self.block_size)\n",
        "        total, world = -(-self.num_samples // self.block_size), collectives.world()\n"
        "        for block in range(collectives.rank(), -(-total // world) * world, world):\n"
        "            made = source.make(block % total, self.block_size)\n"
        "            made.count = min(made.count, self.num_samples - block % total * self.block_size)\n",
        (STAGE, f"{CONTRACT}::test_every_sample_is_made_once_and_none_besides"),
    ),
    Mutation(
        "padding: the last block whole",
        "gan_lab/evaluation/stage.py",
        "            made.count = min(made.count, self.num_samples - block * self.block_size)\n",
        "",
        (STAGE, f"{CONTRACT}::test_every_sample_is_made_once_and_none_besides"),
    ),
    Mutation(
        "sums in float32",
        "gan_lab/metrics/moments.py",
        "total += block.double().sum(dim=0)",
        "total += block.float().sum(dim=0)",
        (MOMENTS, FRECHET),
    ),
    Mutation(
        "truncation to uint8",
        "gan_lab/data/images.py",
        "return pixels.round().clamp(0, 255).to(torch.uint8)",
        "return pixels.clamp(0, 255).to(torch.uint8)",
        ("tests/data/test_data_images.py",),
    ),
    Mutation(
        "covariance over N (factor)",
        "gan_lab/metrics/moments.py",
        "scale = (len(values) - 1) ** 0.5",
        "scale = len(values) ** 0.5",
        (MOMENTS, FRECHET),
    ),
    Mutation(
        "covariance over N (quick way)",
        "gan_lab/metrics/moments.py",
        "lower.tril_().div_(len(values) - 1)",
        "lower.tril_().div_(len(values))",
        (MOMENTS, FRECHET),
    ),
    Mutation(
        "precision and recall swapped",
        "gan_lab/metrics/precision_recall.py",
        'return {"_precision": precision, "_recall": recall}',
        'return {"_precision": recall, "_recall": precision}',
        ("tests/metrics/test_precision_recall.py",),
    ),
    Mutation(
        "mean-only Frechet distance",
        "gan_lab/metrics/frechet.py",
        "return FrechetParts((mean_part + trace_part).item(), mean_part.item(), trace_part.item())",
        "return FrechetParts(mean_part.item(), mean_part.item(), trace_part.item())",
        (FRECHET,),
    ),
    Mutation(
        "mean-only Frechet distance (quick way)",
        "gan_lab/metrics/frechet.py",
        "distance = (mean_part + trace_part).item()",
        "distance = mean_part.item()",
        (FRECHET,),
    ),
    # Others that have happened, here or elsewhere.
    Mutation(
        "network of features in train mode",
        "gan_lab/extractors/base.py",
        "return super().train(False)",
        "return super().train(mode)",
        ("tests/extractors/test_digitnet.py", "tests/extractors/test_inception.py"),
    ),
    Mutation(
        "generator in train mode",
        "gan_lab/evaluation/isolation.py",
        "    network.eval()\n",
        "",
        (STAGE,),
    ),
    Mutation(
        "average without buffers",
        "gan_lab/models/averaging.py",
        "return averaged, copied",
        "return list(network.parameters()), []",
        ("tests/models/test_base.py", f"{CONTRACT}::test_an_average_is_scored_with_buffers_of_its_own"),
    ),
    Mutation(
        "cache by the extractor's name",
        "gan_lab/evaluation/stage.py",
        '            "extractor": extractor.protocol(),\n            "block_size"',
        '            "extractor": extractor.name,\n            "block_size"',
        (CACHE, f"{CONTRACT}::test_other_weights_of_an_extractor_make_another_reference"),
    ),
    Mutation(
        "protocol without the weights' digest",
        "gan_lab/extractors/digitnet.py",
        '            "weights_sha256": self.weights_sha256,\n',
        "",
        (CACHE,),
    ),
    Mutation(
        "cache read without a look at its key",
        "gan_lab/metrics/reference.py",
        '    if metadata.get("key") != canonical:',
        "    if False:",
        (CACHE,),
    ),
    Mutation(
        "blocks under the numbers of other ranks",
        "gan_lab/evaluation/stage.py",
        "enumerate(parts or [], first)",
        "enumerate(reversed(parts or []), first)",
        (STAGE, f"{CONTRACT}::test_the_same_bits_on_any_number_of_ranks"),
    ),
    Mutation(
        "NumPy's random state not put back",
        "gan_lab/evaluation/isolation.py",
        "        np.random.set_state(numpy)\n",
        "",
        (STAGE,),
    ),
    Mutation(
        "autocast left on",
        "gan_lab/evaluation/isolation.py",
        "            torch.autocast(device.type, enabled=False),\n",
        "",
        (f"{CONTRACT}::test_autocast_around_the_stage_changes_no_bit",),
    ),
    Mutation(
        "k + 1 neighbours",
        "gan_lab/metrics/neighbors.py",
        "chosen = squared.topk(k, dim=1",
        "chosen = squared.topk(k + 1, dim=1",
        ("tests/metrics/test_neighbors.py", "tests/metrics/test_precision_recall.py"),
    ),
    Mutation(
        "a point is its own neighbour",
        "gan_lab/metrics/neighbors.py",
        "        if themselves:\n",
        "        if False:\n",
        ("tests/metrics/test_neighbors.py",),
    ),
    Mutation(
        "the rim of a ball outside",
        "gan_lab/metrics/neighbors.py",
        "squared.sub_(rounding)",
        "squared.add_(rounding)",
        ("tests/metrics/test_neighbors.py", "tests/metrics/test_precision_recall.py"),
    ),
    Mutation(
        "biased kernel distance",
        "gan_lab/metrics/kid.py",
        "return total / (len(values) * (len(values) - 1))",
        "return total / len(values) ** 2",
        ("tests/metrics/test_kid.py",),
    ),
    Mutation(
        "PSNR of the mean error",
        "gan_lab/metrics/psnr.py",
        "return peak_signal_to_noise(super().per_picture())",
        "return peak_signal_to_noise(super().per_picture().nanmean().expand(len(super().per_picture())))",
        ("tests/metrics/test_psnr.py",),
    ),
    Mutation(
        "the hole taken for what is known",
        "gan_lab/metrics/paired.py",
        'inside = masks if self.region == "hole" else ~masks',
        'inside = ~masks if self.region == "hole" else masks',
        ("tests/metrics/test_l1.py",),
    ),
    Mutation(
        "an edge of a share in the upper bin",
        "gan_lab/metrics/shares.py",
        "inside = (hole_share > low) & (hole_share <= high)",
        "inside = (hole_share >= low) & (hole_share < high)",
        ("tests/metrics/test_paired.py",),
    ),
    Mutation(
        "P-IDS of the very pairs where half is held out",
        "gan_lab/metrics/p_ids.py",
        "(slice(None, None, 2), slice(1, None, 2)) if held_out",
        "(slice(None, None, 2), slice(0, None, 2)) if held_out",
        ("tests/metrics/test_p_ids.py",),
    ),
    Mutation(
        "the class of the output taken for that of its source",
        "gan_lab/metrics/label_kept.py",
        "block.extractor(block.sources[",
        "block.extractor(block.images[",
        ("tests/metrics/test_label_kept.py",),
    ),
    Mutation(
        "the best images for the worst",
        "gan_lab/evaluation/worst.py",
        "badness = (-values if higher_is_better else values)",
        "badness = (values if higher_is_better else -values)",
        ("tests/evaluation/test_targets.py",),
    ),
    Mutation(
        "a cycle of what was rounded, for the exact one",
        "gan_lab/metrics/cycle_error.py",
        '        if self.intermediate == "exact":\n            return block.samples\n',
        '        if self.intermediate == "exact":\n            return from_uint8(block.images).to(block.samples)\n',
        ("tests/metrics/test_cycle_error.py",),
    ),
    Mutation(
        "noise of the place in a block",
        "gan_lab/metrics/cycle_error.py",
        "range(block.first, block.first + len(block.samples))",
        "range(len(block.samples))",
        ("tests/metrics/test_cycle_error.py",),
    ),
    Mutation(
        "SSIM without contrast",
        "gan_lab/metrics/ssim.py",
        "(2 * mean * other + c1) * (2 * covariance + c2)",
        "(2 * mean * other + c1) * (variance + of_other + c2)",
        ("tests/metrics/test_ssim.py",),
    ),
    Mutation(
        "another edge of pictures for SSIM of a hole",
        "gan_lab/metrics/ssim.py",
        'pad(pictures, reach, mode="reflect")',
        'pad(pictures, reach, mode="replicate")',
        ("tests/metrics/test_ssim.py",),
    ),
    Mutation(
        "a class kept in pictures of other shares",
        "gan_lab/metrics/label_kept.py",
        "kept[inside].mean()",
        "kept[~inside].mean()",
        ("tests/metrics/test_label_kept.py",),
    ),
    Mutation(
        "P-IDS by the shares of pairs that were fitted, not scored",
        "gan_lab/metrics/p_ids.py",
        "            _, scored = parts(self.held_out)",
        "            scored, _ = parts(self.held_out)",
        ("tests/metrics/test_p_ids.py",),
    ),
    Mutation(
        "splits of the Inception Score not shuffled",
        "gan_lab/metrics/inception_score.py",
        "shuffled = logits[torch.from_numpy(np.random.RandomState(legacy_seed(seed)).permutation(count))]",
        "shuffled = logits",
        ("tests/metrics/test_inception_score.py",),
    ),
    Mutation(
        "divergence of the data from the samples",
        "gan_lab/metrics/modes.py",
        "return (q[found] * (q[found] / p[found]).log()).sum().item()",
        "return (p[found] * (p[found] / q[found]).log()).sum().item()",
        ("tests/metrics/test_modes.py",),
    ),
    Mutation(
        "density without k",
        "gan_lab/metrics/density_coverage.py",
        "return inside / (k * len(fake))",
        "return inside / len(fake)",
        ("tests/metrics/test_density_coverage.py",),
    ),
    Mutation(
        "a copy is authentic",
        "gan_lab/metrics/memorization.py",
        "return distances > real_distances",
        "return distances >= real_distances",
        ("tests/metrics/test_memorization.py",),
    ),
    Mutation(
        "modes of samples far from any centre",
        "gan_lab/metrics/modes.py",
        "float(len(nearest[good].unique()))",
        "float(len(nearest.unique()))",
        ("tests/metrics/test_modes.py",),
    ),
    Mutation(
        "the last judgement foremost",
        "gan_lab/metrics/modes.py",
        "for column in classes.T:",
        "for column in classes.T.flip(0):",
        ("tests/metrics/test_modes.py",),
    ),
    Mutation(
        "judgements and classes exchanged",
        "gan_lab/metrics/modes.py",
        "logits.unflatten(1, (groups, -1)).argmax(dim=2)",
        "logits.unflatten(1, (-1, groups)).argmax(dim=1)",
        ("tests/metrics/test_modes.py",),
    ),
    Mutation(
        "the best class for the worst",
        "gan_lab/metrics/intraclass.py",
        '"_worst": max(distances),',
        '"_worst": min(distances),',
        ("tests/metrics/test_intraclass.py",),
    ),
    Mutation(
        "samples of all classes against each",
        "gan_lab/metrics/intraclass.py",
        "samples = fake[fake_labels == label]",
        "samples = fake",
        ("tests/metrics/test_intraclass.py",),
    ),
    Mutation(
        "reals of all classes against each",
        "gan_lab/metrics/intraclass.py",
        "mean_and_factor(real[real_labels == label])",
        "mean_and_factor(real)",
        ("tests/metrics/test_intraclass.py",),
    ),
    Mutation(
        "an error in the congruence",
        "gan_lab/metrics/moments.py",
        "z = (aq + br / 2) @",
        "z = (aq + br) @",
        (MOMENTS,),
    ),
    Mutation(
        "half of the covariance",
        "gan_lab/metrics/moments.py",
        "    covariance += covariance.tril(-1).T\n",
        "",
        (MOMENTS, FRECHET),
    ),
    Mutation(
        "quick where rounding is felt",
        "gan_lab/metrics/frechet.py",
        "if doubt <= TOLERANCE * distance else None",
        "if doubt <= 1e9 * distance else None",
        (FRECHET,),
    ),
    Mutation(
        "channels of stacked digits exchanged",
        "gan_lab/extractors/stacked.py",
        "values.unflatten(0, (-1, CHANNELS)).flatten(1)",
        "values.unflatten(0, (-1, CHANNELS)).transpose(1, 2).flatten(1)",
        ("tests/extractors/test_stacked.py",),
    ),
    Mutation(
        "classification accuracy on the classifier's own training set",
        "gan_lab/metrics/classification_accuracy.py",
        '"": accuracy(of_fake, real, real_labels, threads=threads),',
        '"": accuracy(of_fake, fake, fake_labels, threads=threads),',
        ("tests/metrics/test_classification_accuracy.py",),
    ),
    Mutation(
        "path length of images in 256 levels",
        "gan_lab/metrics/path_length.py",
        "        return as_seen(images)\n",
        "        return as_seen((127.5 * images).round() / 127.5)\n",
        ("tests/metrics/test_path_length.py",),
    ),
]


def copy_of_the_tree(folder: Path) -> Path:
    copy = folder / "tree"
    copy.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        else:
            shutil.copy(source, copy)
    return copy


def run(tests: tuple[str, ...], copy: Path) -> subprocess.CompletedProcess:
    """pytest on `tests` in the copy, whose package comes before an installed one, until one fails."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", *tests]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


def try_one(mutation: Mutation, copy: Path) -> tuple[bool, str]:
    """Whether a test fails, and which one, or what is wrong."""
    path = copy / mutation.path
    text = path.read_text()
    if text.count(mutation.old) != mutation.times:
        return False, f"NOT APPLIED: its text stands {text.count(mutation.old)} times in {mutation.path}"
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        done = run(mutation.tests, copy)
    finally:
        path.write_text(text)
    failed = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    if done.returncode == 0:
        return False, "SURVIVED"
    if done.returncode != 1 or failed is None:
        return False, f"THE TESTS DO NOT RUN: {(done.stdout + done.stderr).strip().splitlines()[-1]}"
    return True, failed[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", help="mutations whose names contain one of these; all by default")
    chosen = [m for m in MUTATIONS if any(word in m.name for word in parser.parse_args().only or [""])]
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_the_tree(Path(folder))
        whole = run(tuple(dict.fromkeys(test for mutation in chosen for test in mutation.tests)), copy)
        if whole.returncode != 0:
            sys.exit(f"the tests fail before anything is broken:\n{whole.stdout[-3000:]}{whole.stderr[-1000:]}")
        print(f"unbroken: {whole.stdout.strip().splitlines()[-1]}", flush=True)
        width = max(len(mutation.name) for mutation in chosen)
        for mutation in chosen:
            start = time.perf_counter()
            caught, what = try_one(mutation, copy)
            survived += not caught
            print(f"{mutation.name:<{width}}  {time.perf_counter() - start:5.1f} s  {what}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} mutations caught")
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
