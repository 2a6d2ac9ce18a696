"""A run that learns by an ImageNet-trained extractor is not ranked by an ImageNet space; all others are."""

from types import SimpleNamespace

import pytest

from gan_lab.evaluation import Evaluation
from gan_lab.runs.settings import flat
from gan_lab.runs.spaces import familiar_protocol, learnt_on_imagenet, refuse_familiar_space, taught_by_imagenet

LITE0 = "gan_lab.extractors.efficientnet_lite0.EfficientNetLite0"
INCEPTION = "gan_lab.extractors.inception.Inception"
VGG19 = "gan_lab.extractors.vgg.VGG19"
DINOV2 = "gan_lab.extractors.dinov2.DINOv2"
DIGITNET = "gan_lab.extractors.digitnet.DigitNet"


def learning(place, target, **model):
    node = {"_target_": target}
    for key in reversed(place.split(".")):
        node = {key: node}
    return dict(flat({"model": node | model}))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (learning("discriminator.features", LITE0), "model.discriminator.features"),
        (learning("perceptual", VGG19), "model.perceptual"),
        (learning("perceptual", DIGITNET), None),
        (learning("discriminator.features", DINOV2), None),
        (learning("perceptual", VGG19, condition_shape=[1, 8, 8]), None),
        (learning("perceptual", VGG19, masked=True), None),
        (learning("perceptual", "vgg.Mine"), None),
        ({"model.perceptual": None, "evaluation.extractor._target_": INCEPTION}, None),
    ],
)
def test_who_learns_by_imagenet(settings, key):
    assert taught_by_imagenet(settings) == key


@pytest.mark.parametrize("name", ["inception64d_clean", "vgg", "vgg_conv", "lpips", "efficientnet_lite0", INCEPTION])
def test_spaces_of_imagenet(name):
    assert learnt_on_imagenet(name)


@pytest.mark.parametrize("name", ["digitnet", "dinov2", "clip", "mine", DINOV2, "my_package.inception.Mine"])
def test_other_spaces(name):
    assert not learnt_on_imagenet(name)


def test_refused_with_the_keys_the_reason_and_the_remedy():
    taught = learning("discriminator.features", LITE0)
    message = (
        r"evaluation\.extractor is Inception, learnt on ImageNet, and so is EfficientNetLite0 of "
        r"model\.discriminator\.features.*Kynkäänniemi.*extractor@evaluation\.extractor=dinov2"
    )
    with pytest.raises(ValueError, match=message):
        refuse_familiar_space(taught, "evaluation.extractor", INCEPTION)
    for extractor in (None, DINOV2, DIGITNET):
        refuse_familiar_space(taught, "evaluation.extractor", extractor)
    refuse_familiar_space(learning("perceptual", DIGITNET), "evaluation.extractor", INCEPTION)


def test_a_score_of_no_space_ranks_any_run():
    pixels = SimpleNamespace(monitor="psnr", metrics={"psnr": SimpleNamespace(in_space=False)})
    Evaluation.check_space(pixels, {"perceptual": {"_target_": VGG19}})


def test_protocols():
    taught = learning("perceptual", VGG19)
    reason = familiar_protocol(taught, {"extractor": {"extractor": "inception"}})
    assert reason is not None
    assert "not ranked by inception" in reason
    assert "VGG19 of model.perceptual" in reason
    assert familiar_protocol(taught, {"extractor": {"extractor": "dinov2"}}) is None
    assert familiar_protocol(taught, {"extractor": None}) is None
    assert familiar_protocol({}, {"extractor": {"extractor": "inception"}}) is None


def test_the_train_command_refuses_it(here):
    """Before anything is loaded: with weights of neither extractor, in one message."""
    done = here(
        *("train", "model=projected_gan", "network=projected_gan_lite", "data=digits", "data.image_size=64"),
        *("extractor@evaluation.extractor=inception", "run_dir=r"),
    )
    assert done.code == 1
    assert done.output.count("Error:") == 1, done.output
    assert "Traceback" not in done.output
    assert "evaluation.extractor is Inception" in done.output
    assert "so is EfficientNetLite0 of model.discriminator.features" in done.output
    assert "extractor@evaluation.extractor=dinov2" in done.output
    assert not (here.folder / "r" / "checkpoints").exists()
