"""Checkpoints of other libraries: their pictures are those of independent references, and no file runs anything."""

import json

import foreign_checkpoints as foreign
import pytest
import torch
from foreign_weights import stylegan2_pictures, stylegan2_weights
from generated_data import write_image_folder
from safetensors.torch import load_file

from gan_lab.checkpoint import load_generator
from gan_lab.import_weights import imported_networks, loaded
from gan_lab.runs.checkpoint import licence_of


def draws(*shape, seed=5):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def both_networks(path, beside=None, noise="random"):
    """The networks of files, in eval mode, and what the importer says of them."""
    found = imported_networks(path, beside, noise)
    generator = loaded(found.model["generator"], found.state, path).eval().requires_grad_(False)
    discriminator = None
    if found.discriminator_state is not None:
        discriminator = loaded(found.discriminator, found.discriminator_state, path).eval().requires_grad_(False)
    return generator, discriminator, found


def same(found, expected, tolerance=2e-5):
    """Equal up to float32's rounding, beside the largest value."""
    assert expected.isfinite().all()
    assert expected.std() > 1e-3
    torch.testing.assert_close(found.double(), expected, atol=tolerance * float(expected.abs().max()), rtol=0)


# rosinality's StyleGAN2 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_rosinality_s_networks_compute_what_the_reference_does(legacy, tmp_path):
    tensors, discriminator = stylegan2_weights(latent=5, w=5), foreign.rosinality_discriminator()
    generator, mean = foreign.rosinality_generator(tensors), tensors["mapping.w_avg"]
    file = foreign.rosinality_file(tmp_path / "x.pt", generator, discriminator, mean=mean, legacy=legacy)
    constant, judge, found = both_networks(file, noise="constant")
    z, images = draws(3, 5), draws(4, 3, 16, 16, seed=6)
    same(constant(z), stylegan2_pictures(tensors, z))
    same(judge(images), foreign.rosinality_logits(discriminator, images))
    random, _, _ = both_networks(file)
    noise = draws(3, random.noise_size, seed=7)
    same(random(z, noise=noise), stylegan2_pictures(tensors, z, noise=noise))
    truncated = random.synthesis(random.truncate(random.mapping(z), 0.5), noise=noise)
    same(truncated, stylegan2_pictures(tensors, z, noise=noise, psi=0.5))
    assert found.averaged_styles == 0


def test_rosinality_s_file_goes_into_sampling_training_and_export(here, tmp_path):
    """A file without the mean of styles, which is then taken of latents; both networks start a run."""
    tensors = stylegan2_weights(latent=5, w=5)
    generator, discriminator = foreign.rosinality_generator(tensors), foreign.rosinality_discriminator()
    foreign.rosinality_file(tmp_path / "net.pt", generator, discriminator)
    done = here("import_weights", "file=net.pt", "licence=mit", "out=net")
    assert done.code == 0, done.output
    assert "StyleGAN2 (rosinality): the averaged generator" in done.output
    loaded_again = load_generator(tmp_path / "net")
    mean = loaded_again.network.mapping(draws(20_000, 5)).mean(0)
    torch.testing.assert_close(loaded_again.network.w_average, mean, atol=0.1, rtol=0)
    about = json.loads((tmp_path / "net" / "generator.json").read_text())
    assert about["imported"]["format"] == "StyleGAN2 (rosinality)"
    assert here("sample", "checkpoint=net", "count=2").code == 0

    write_image_folder(tmp_path / "FOLDER", count=16, size=(16, 16))
    (line,) = (line for line in done.output.splitlines() if line.startswith("training on: "))
    words = line.split("gan_lab.train ")[1].split()
    brief = ["data.batch_size=8", "total_kimg=0.008", "trainer=cpu", "threads=1", "evaluation=none", "run_dir=run"]
    trained = here("train", *words, *brief)
    assert trained.code == 0, trained.output
    log = (tmp_path / "run" / "train.log").read_text()
    assert "networks.safetensors; all of it matched" in log.replace("\n", " "), log
    assert licence_of(tmp_path / "net" / "networks.safetensors").startswith("MIT")
    assert licence_of(tmp_path / "run").startswith("MIT")
    assert "discriminator.head.1.weight" in load_file(tmp_path / "net" / "networks.safetensors")
    exported = here("export", "checkpoint=net", "out=exported")
    assert exported.code == 0, exported.output
