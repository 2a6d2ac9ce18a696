"""What a run leaves to look at: grids of the same latents, and curves."""

import json

import numpy as np
import pytest
import torch
from conftest import SMALL
from PIL import Image
from tiny import fit, settings
from torch import nn

from gan_lab.callbacks.curves import draw
from gan_lab.callbacks.pictures import Pictures
from gan_lab.data.pictures import grid, save_png
from gan_lab.models.hinge_gan import HingeGAN
from gan_lab.runs.records import append_row


class Painter(nn.Module):
    """Latents as 1x2 pictures, and noise of its own on top."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.3))

    def forward(self, latents):
        return (self.scale * latents + 0.1 * torch.randn(len(latents), 2)).view(-1, 1, 1, 2)


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, samples):
        return samples.flatten(1) @ self.weight


def pictures_of(folder, images=8, **rates):
    module = HingeGAN(**settings(generator=Painter(), discriminator=Critic(), ema_half_life_kimg=None, **rates))
    folder.mkdir(exist_ok=True)
    pictures = Pictures(every_kimg=0.004, rows=2, columns=3)
    fit(module, images=images, real=torch.zeros(2, 1, 1, 2), callbacks=[pictures], folder=folder)
    return sorted((folder / "pictures").iterdir())


def test_grids_at_the_start_the_ticks_and_the_end(tmp_path):
    names = [path.name for path in pictures_of(tmp_path, images=10)]
    assert names == [*[f"{images:012d}.png" for images in (0, 4, 8, 10)], "latest.png"]
    assert (tmp_path / "pictures" / "latest.png").read_bytes() == (
        tmp_path / "pictures" / "000000000010.png"
    ).read_bytes()


def test_a_generator_that_stands_still_gives_the_same_grid(tmp_path):
    """Latents and the generator's own noise are fixed, so that what changes is the generator."""
    still = [path.read_bytes() for path in pictures_of(tmp_path / "still")]
    assert len(set(still)) == 1
    moving = [path.read_bytes() for path in pictures_of(tmp_path / "moving", g_lr=0.5)]
    assert len(set(moving)) > 1
    assert moving[0] == still[0]


def test_a_grid_has_its_images_in_rows():
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 4, 5) * 40
    picture = grid(images, columns=3)
    assert picture.shape == (2 + 2 * (4 + 2), 2 + 3 * (5 + 2))
    assert picture.dtype == np.uint8
    assert [picture[2, 2], picture[2, 9], picture[2, 16], picture[8, 2]] == [0, 40, 80, 120]
    assert grid(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), columns=2).shape == (22, 22, 3)
    assert grid(torch.zeros(4, 4, 8, 8, dtype=torch.uint8), columns=2).shape == (22, 22, 4)


def test_saving_replaces_at_once(tmp_path):
    save_png(np.zeros((4, 6), dtype=np.uint8), tmp_path / "a.png")
    save_png(np.full((4, 6, 3), 255, dtype=np.uint8), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (6, 4)
        assert picture.mode == "RGB"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0)])
def test_bad_grids(rows, columns):
    with pytest.raises(ValueError, match=f"got {rows} and {columns}"):
        Pictures(every_kimg=1, rows=rows, columns=columns)


def line(images, **scores):
    return json.dumps({"images_seen": images, "scores": scores, "monitored": "fd9"}) + "\n"


def test_curves_are_drawn(tmp_path):
    assert draw(tmp_path) is None
    for images in (64, 128, 192):
        append_row(tmp_path / "metrics.csv", {"images_seen": images, "loss/d": 1.0, "grad_norm/generator": images})
    unscored = draw(tmp_path).read_bytes()
    (tmp_path / "scores.jsonl").write_text(line(64, fd9=3.0) + line(128, fd9=2.0))
    path = draw(tmp_path)
    assert path == tmp_path / "curves.png"
    assert path.read_bytes() != unscored
    with Image.open(path) as picture:
        assert picture.size == (1000, 600)
    assert not (tmp_path / ".curves.png").exists()


def test_curves_of_runs_with_gaps(tmp_path):
    """A column that came late, one without any value, scores of a name that is not monitored any more."""
    append_row(tmp_path / "metrics.csv", {"images_seen": 64, "loss/d": 1.0})
    append_row(tmp_path / "metrics.csv", {"images_seen": 128, "loss/g": float("nan"), "grad_norm/generator": 0.5})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("192,,,\n")
    (tmp_path / "scores.jsonl").write_text(line(64, other=3.0))
    assert draw(tmp_path).is_file()


def test_a_run_leaves_both(command, tmp_path):
    every = ["callbacks.pictures.every_kimg=0.032", "callbacks.curves.every_kimg=0.032", "evaluation=none"]
    small = [option for option in SMALL if not option.startswith("evaluation.")]
    done = command("train", *small, *every, "total_kimg=0.064", "run_dir=run")
    assert done.code == 0, done.output
    names = sorted(path.name for path in (tmp_path / "run" / "pictures").iterdir())
    assert names == ["000000000000.png", "000000000032.png", "000000000064.png", "latest.png"]
    with Image.open(tmp_path / "run" / "pictures" / "latest.png") as picture:
        assert picture.size == (4 * (8 * 18 + 2), 4 * (8 * 18 + 2)), "enlarged"
        assert np.asarray(picture).std() > 0
    assert (tmp_path / "run" / "curves.png").is_file()
    for place in ("run/pictures/latest.png", "run/curves.png", "run/metrics.csv", "run/checkpoints/000000000064.ckpt"):
        assert place in done.output
