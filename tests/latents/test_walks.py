"""Walks through the latents of a generator: closed ones close, and all are functions of their command."""

import subprocess
import sys
import types
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_generators import generator

from gan_lab.evaluation.generation import asked
from gan_lab.latents import animation
from gan_lab.latents.paths import walk
from gan_lab.latents.space import Points, space_of
from gan_lab.networks.mlp import MLPGenerator
from gan_lab.sample import images
from gan_lab.sampling import LabelledInputs, SourceInputs


@pytest.mark.parametrize("kind", ["styles", "latents"])
def test_a_loop_closes(kind):
    """Its last frame lies as near to the first as neighbours do; without the loop, far from it."""
    space = space_of(generator(kind), seed=1)
    points = space.samples(1, [3, 55, 7])
    steps = {}
    for loop in (True, False):
        frames = torch.cat(list(space.pictures(walk(space, points, 45, loop)))).double()
        assert frames.shape == (45, 1, 8, 8)
        between = [(later - earlier).norm().item() for earlier, later in pairwise([*frames, frames[0]])]
        steps[loop] = between[-1] / max(between[:-1])
        assert torch.equal(frames[0], next(space.pictures(Points(points.positions[:1]))).double()[0])
    assert steps[True] < 1.05 < 3 < steps[False]


def test_a_closed_spline_has_no_seam():
    """Of w at times t = 0, 1, 2 on a circle, first and second differences go on from the last frame to the first."""
    space = space_of(generator("styles"))
    angles = torch.arange(3, dtype=torch.float64) * 2 * torch.pi / 3
    points = Points(torch.stack([angles.cos(), angles.sin(), *[0 * angles] * 6], dim=1))
    along = walk(space, points, 300, True).positions
    second = along.roll(-1, 0) - 2 * along + along.roll(1, 0)
    bend = (second - second.roll(1, 0)).norm(dim=1)
    assert bend[[0, 1, -1]].max() < 1.5 * bend[[100, 101, 200, 201]].max()
    torch.testing.assert_close(along[[0, 100, 200]], points.positions)


def test_points_are_the_numbered_samples():
    """Of a generator without noise, a walk's own pictures are those of gan_lab.sample, alone or together."""
    loaded = generator("latents")
    sampled = torch.cat(list(images(loaded, count=60, seed=4)))
    space = space_of(loaded)
    assert torch.equal(torch.cat(list(space.pictures(space.samples(4, [51, 2])))), sampled[[51, 2]])
    assert torch.equal(next(space.pictures(space.samples(4, [2]))), sampled[[2]])


def test_truncated_to_the_mean_a_walk_stands_still():
    loaded = asked(generator("styles"), truncation=0.0, standing_statistics=None)
    space = space_of(loaded)
    frames = list(space.pictures(walk(space, space.samples(0, [0, 1]), 4, True)))
    assert all(torch.equal(frame, frames[0]) for frame in frames)


def test_what_cannot_be_walked_is_refused_with_the_reason():
    loaded = generator("latents")
    with pytest.raises(ValueError, match=r"MLPGenerator makes pictures from pictures: .*gan_lab.translate"):
        space_of(replace(loaded, inputs=SourceInputs((1, 8, 8), False)))
    given = {"width": 4, "depth": 1, "normalization": "none", "activation": "relu", "initialization": "he"}
    with pytest.raises(ValueError, match="MLPGenerator makes points, and this is of pictures"):
        space_of(replace(loaded, network=MLPGenerator(sample_shape=(2,), latent_dim=6, **given)))
    space = space_of(replace(loaded, inputs=LabelledInputs(6, "normal", 4, "uniform")))
    with pytest.raises(ValueError, match=r"between its classes there is nothing: .*classes=\[3\]"):
        walk(space, space.samples(0, [0, 1], classes=[1, 2]), 10, True)
    one = walk(space, space.samples(0, [0, 1], classes=[2]), 10, True)
    assert one.labels.tolist() == [2] * 10
    with pytest.raises(ValueError, match="frames must be at least the number of points, 2, got 1"):
        walk(space, space.samples(0, [0, 1], classes=[2]), 1, True)
    with pytest.raises(ValueError, match=r"numbered from 0, .* got \[-1\]"):
        space.samples(0, [-1, 2])


# files ------------------------------------------------------------------------------------------------------------


def shades(count: int) -> list[np.ndarray]:
    return [np.full((5, 7), 20 * number, np.uint8) for number in range(count)]


@pytest.mark.parametrize("kind", ["webp", "gif"])
@pytest.mark.parametrize("loop", [True, False])
def test_all_frames_are_in_the_file_at_their_speed(kind, loop, tmp_path):
    animation.save(shades(6), tmp_path / f"a.{kind}", fps=30, loop=loop)
    with Image.open(tmp_path / f"a.{kind}") as moving:
        assert moving.n_frames == 6
        lengths, levels = [], []
        for number in range(6):
            moving.seek(number)
            levels.append(np.asarray(moving.convert("L")).mean())
            lengths.append(moving.info["duration"])
        assert levels == pytest.approx([0, 20, 40, 60, 80, 100], abs=2)
        assert sum(lengths) == 200
        assert (moving.info.get("loop") == 0) == loop
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{kind}"]


def test_the_ffmpeg_of_a_package_is_taken_where_path_has_none(tmp_path, monkeypatch):
    (brought := tmp_path / "brought").write_text('#!/bin/sh\nfor last; do :; done\n/bin/cat > "$last"\n')
    brought.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    package = types.SimpleNamespace(get_ffmpeg_exe=lambda: str(brought))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", package)
    animation.check_formats(["mp4"], 25)
    animation.save(shades(2), tmp_path / "a.mp4", fps=25, loop=True)
    assert len((tmp_path / "a.mp4").read_bytes()) == 2 * 6 * 8 * 3

    def none_of_this_platform():
        raise RuntimeError("no ffmpeg exe could be found")

    package.get_ffmpeg_exe = none_of_this_platform
    with pytest.raises(ValueError, match=r"formats=\[mp4\] needs an ffmpeg, and PATH has none; pip install .*\[mp4\]"):
        animation.check_formats(["mp4"], 25)


def test_an_ffmpeg_is_given_whole_even_frames(tmp_path, monkeypatch):
    """A stand-in stores what comes in: 6x8 pixels of 5x7, three colours each."""
    script = tmp_path / "bin" / "ffmpeg"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'wb').write(sys.stdin.buffer.read())\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)  # as if it were not installed
    with pytest.raises(ValueError, match=r"formats=\[mp4\] needs an ffmpeg"):
        animation.check_formats(["mp4"], 25)
    monkeypatch.setenv("PATH", str(script.parent))
    animation.check_formats(["mp4"], 25)
    animation.save(shades(2), tmp_path / "a.mp4", fps=25, loop=True)
    assert (tmp_path / "a.mp4").read_bytes() == bytes(6 * 8 * 3) + bytes([20]) * (6 * 8 * 3)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 1, b"", b"Unknown encoder"))
    with pytest.raises(OSError, match=r"ffmpeg could not make .*: Unknown encoder"):
        animation.save(shades(2), tmp_path / "b.mp4", fps=25, loop=True)
