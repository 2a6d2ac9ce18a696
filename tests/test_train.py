"""What the train command decides before training."""

import pytest

from gan_lab.runs.settings import digest

SETTINGS = {
    "seed": 0,
    "total_kimg": 1.0,
    "threads": None,
    "paths": {"runs_dir": "runs"},
    "data": {"root": "a", "download": False, "workers": 2, "batch_size": 64},
    "model": {"n_critic": 1, "seed": 0},
    "evaluation": {"num_samples": 2000, "cache_dir": "a"},
    "trainer": {"precision": "32-true", "accelerator": "cpu", "devices": 1},
    "callbacks": {"metrics": {"every_kimg": 2}, "evaluation": {"every_kimg": 50}, "checkpoint": {"every_kimg": 5}},
}


@pytest.mark.parametrize(
    ("changed", "other_run"),
    [
        ({"total_kimg": 2.0}, False),
        ({"seed": 1}, False),  # the seed has a folder level of its own
        ({"threads": 1}, False),
        ({"paths": {"runs_dir": "elsewhere"}}, False),
        ({"data": SETTINGS["data"] | {"root": "b", "workers": 0}}, False),
        ({"trainer": SETTINGS["trainer"] | {"accelerator": "gpu"}}, False),
        ({"callbacks": SETTINGS["callbacks"] | {"checkpoint": {"every_kimg": 9}}}, False),
        ({"data": SETTINGS["data"] | {"batch_size": 32}}, True),
        ({"data": {key: value for key, value in SETTINGS["data"].items() if key != "download"}}, True),
        ({"model": {"n_critic": 2, "seed": 0}}, True),
        ({"evaluation": {"num_samples": 1000, "cache_dir": "a"}}, True),
        ({"trainer": SETTINGS["trainer"] | {"precision": "bf16-mixed"}}, True),
    ],
)
def test_a_run_is_another_where_its_results_may_differ(changed, other_run):
    assert (digest(SETTINGS | changed) != digest(SETTINGS)) is other_run


def test_two_folders_of_pictures_are_two_runs():
    own = {key: value for key, value in SETTINGS["data"].items() if key != "download"}
    assert digest(SETTINGS | {"data": own | {"root": "b"}}) != digest(SETTINGS | {"data": own})
