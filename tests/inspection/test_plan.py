"""What training is proposed: sizes and algorithms, and commands that compose."""

import shlex

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir

from gan_lab.config import register
from gan_lab.inspection.plan import WAYS, WAYS_ON_CPU, as_text, plan_for, size_for
from gan_lab.overrides import read_words
from gan_lab.runs.settings import plain


def proposed(root="pictures", count=100, image_size=64, **settings):
    usual = {"channels": 3, "center_crop": True, "skipping": False, "gpu": True}
    return plan_for(root, count=count, image_size=image_size, **(usual | settings))


@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ([100] * 4, 64),
        ([256], 256),
        ([255], 128),
        ([4000, 3000], 256),  # no network is larger
        ([20], 32),
        ([10, 300, 300, 300], 256),  # a quarter may be smaller
        ([10, 10, 300, 300], 32),
    ],
)
def test_the_size_is_a_power_of_two_not_above_the_usual_shorter_side(sides, size):
    assert size_for(sides, gpu=True) == size
    assert size_for(sides, gpu=False) == min(size, 64)


@pytest.mark.parametrize(
    ("count", "size", "gpu", "model", "ada", "diffaugment"),
    [
        (20, 32, True, "stylegan2", True, True),  # FastGAN begins at 64x64
        (20, 64, True, "fastgan", False, True),
        (1000, 256, True, "fastgan", False, True),
        (1001, 64, True, "stylegan2", True, True),
        (2000, 64, True, "stylegan2", True, True),
        (2001, 64, True, "r3gan", False, False),
        (2001, 128, True, "stylegan2", True, False),
        (20, 32, False, "r3gan", False, True),
        (2000, 64, False, "r3gan", False, True),
        (2001, 64, False, "r3gan", False, False),
        (100, 128, False, "fastgan", False, True),  # asked for
    ],
)
def test_the_algorithm_follows_from_the_number_of_pictures_and_the_machine(count, size, gpu, model, ada, diffaugment):
    plan = proposed(count=count, image_size=size, gpu=gpu)
    assert plan.way.model == model
    assert ("network=dcgan" in plan.words) is (not gpu and size <= 64)
    assert any(word.endswith("ada=ada") for word in plan.words) is ada
    assert any("diffaugment" in word for word in plan.words) is diffaugment
    assert not any("too few" in remark for remark in plan.remarks)


def test_the_short_command_has_what_a_person_said():
    assert proposed().short_command == "python -m gan_lab.train experiment=own_pictures data.root=pictures"
    asked = proposed(channels=1, center_crop=False, size_was_given=True).short_command
    assert asked.endswith("data.root=pictures data.image_size=64 data.channels=1 data.center_crop=false")


def test_too_few_pictures_are_said_to_be():
    assert "19 pictures are too few" in proposed(count=19).remarks[0]


def test_of_a_size_without_a_network_nothing_is_proposed():
    assert proposed(image_size=48) is None


@pytest.mark.parametrize(
    ("way", "size", "gpu"),
    [(way, size, gpu) for gpu, ways in ((True, WAYS), (False, WAYS_ON_CPU)) for way in ways for size in way.settings],
)
def test_every_command_composes(way, size, gpu):
    plan = proposed(root="my pictures, 100% 'best' = [x]", count=int(min(way.most, 10**6)), image_size=size, gpu=gpu)
    words = shlex.split(plan.command)[3:]
    read = read_words(words, ROOT / "conf" / "train.yaml").words
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = plain(compose("train", read))
    assert config["data"]["root"] == "my pictures, 100% 'best' = [x]"
    assert config["data"]["image_size"] == size
    assert config["data"]["batch_size"] == plan.batch_size


def test_a_plain_path_stays_as_it_is():
    assert as_text("/home/me/my-pictures_2.zip") == "/home/me/my-pictures_2.zip"
