"""Kind D: what the commands say of bad input names the key as it is typed, the value and what would be right."""

import re
import shlex

import pytest
from conftest import SMALL
from hydra.core.override_parser.overrides_parser import OverridesParser
from in_process import InProcess

from gan_lab.config import shipped
from gan_lab.overrides import groups_of, quoted, read_words

UNSCORED = [*(option for option in SMALL if not option.startswith("evaluation.")), "evaluation=none"]
BRIEF = "total_kimg=0.032"
TRAIN = shipped("conf") / "train.yaml"


def assert_refused(here: InProcess, command: str, words: list[str], *said: str) -> None:
    """Exit code 1 and one message, without a traceback, that says all of this."""
    done = here(command, *words)
    assert done.code == 1, done.output
    assert "Traceback" not in done.output, done.output
    assert done.output.count("Error:") == 1, done.output
    for part in said:
        assert part in done.output, done.output


# Values of the wrong type: of a root's keys -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "word", "said"),
    [
        ("train", "seed=[1,2]", "seed must be a whole number, got [1,2]"),
        ("train", "seed=1.5", "seed must be a whole number, got 1.5"),
        ("train", "seed=null", "seed cannot be null"),
        ("train", "seed=''", "seed must be a whole number, got ''"),
        ("train", "seed=18446744073709551616", "seed must be at most 18446744073709551615"),
        ("train", "total_kimg=abc", "total_kimg must be a number, got abc"),
        ("train", "total_kimg=inf", "total_kimg must be finite, got inf"),
        ("train", "total_kimg=1e400", "total_kimg must be finite, got inf"),
        ("train", "total_kimg=nan", "total_kimg must be more than 0, got nan"),
        ("train", "overwrite=abc", "overwrite must be true or false, got abc"),
        ("train", "run_dir=[1,2]", "run_dir must be one text, such as a path or a name, got [1,2]"),
        ("train", "run_dir=''", "run_dir is empty"),
        ("train", "report=''", "report is empty"),
        ("train", "stop=3", "stop has keys, stop.NAME=VALUE; it is not 3"),
        ("train", "stop=[1,2]", "stop has keys, stop.NAME=VALUE; it is not [1,2]"),
        ("train", "paths.runs_dir=null", "paths.runs_dir cannot be null"),
        ("train", "trainer.precision=foo", "trainer.precision must be 32-true or bf16-mixed, got foo"),
        ("train", "trainer.num_nodes=0", "trainer.num_nodes must be a whole number of at least 1, got 0"),
        ("train", "trainer.num_nodes=abc", "trainer.num_nodes must be a whole number of at least 1, got 'abc'"),
        ("train", "data.batch_size=abc", "data.batch_size must be a whole number of at least 1, got 'abc'"),
        ("train", "data.batch_size=[1]", "data.batch_size must be a whole number of at least 1, got [1]"),
        ("train", "data.batch_size=1.5", "data.batch_size must be a whole number of at least 1, got 1.5"),
        ("train", "data.micro_batch_size=abc", "data.micro_batch_size must be a whole number of at least 1"),
        ("train", "callbacks.stop=null", "callbacks.stop cannot be left out"),
        (
            "train",
            "callbacks.pictures=abc",
            "callbacks.pictures must be null, to leave it out, or",
        ),
        ("sample", "count=abc", "count must be a whole number, got abc"),
        ("sample", "classes=[a]", "classes must be a list of whole numbers, got [a]"),
        ("directions", "strengths=[1,a]", "strengths must be a list of numbers, got [1,a]"),
        ("sample", "pictures=classes", "pictures must be a list, pictures=[...], got classes"),
        ("sample", "checkpoint=null", "checkpoint cannot be null"),
        ("sample", "checkpoint=''", "checkpoint is empty"),
        ("sample", "seed=18446744073709551616", "seed must be at most 18446744073709551615"),
        ("evaluate", "poll_seconds=0", "poll_seconds must be a finite number of more than 0, got 0"),
        ("evaluate", "num_samples=abc", "num_samples must be a whole number, got abc"),
        ("export", "tolerance=nan", "tolerance must be more than 0, got nan"),
        ("export", "onnx=abc", "onnx must be true or false, got abc"),
        ("fit_extractor", "lr=-1", "lr must be a finite number of more than 0, got -1.0"),
        ("fit_extractor", "threads=0", "threads must be 1 or more"),
        ("fit_extractor", "data.limit=abc", "data.limit must be a whole number or null, got 'abc'"),
        ("fit_extractor", "seed=18446744073709551616", "seed must be at most 18446744073709551615"),
    ],
)
def test_a_value_of_the_wrong_type(command, word, said, here):
    """Lightning#21028 of seeds; OverflowError of lengths; OmegaConf's words without the key."""
    needed = {"train": [], "sample": ["checkpoint=x"], "evaluate": ["run=x"], "export": ["checkpoint=x"]}
    words = [*needed.get(command, ["out=x.safetensors"]), word]
    assert_refused(here, command, words[-1:] if words[0].split("=")[0] == word.split("=")[0] else words, said)


# Values of the wrong type: of what is built -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model.optimizers.generator.lr=abc", "model.optimizers.generator.lr must be a number, got 'abc'"),
        ("model.optimizers.generator.lr=null", "model.optimizers.generator.lr must be a number, got None"),
        (
            "model.optimizers.generator.lr=-1",
            "Error: model.optimizers.generator.lr must be a finite number of 0",
        ),
        ("model.optimizers.generator.lr=inf", "model.optimizers.generator.lr must be a finite number of 0 or more"),
        ("model.optimizers.generator.betas=[0.5]", "model.optimizers.generator.betas must be a list of 2"),
        ("model.optimizers.generator.betas=0.5", "model.optimizers.generator.betas must be a list of 2"),
        ("model.optimizers.generator.betas=[0.5,2]", "model.optimizers.generator.betas must be two numbers from 0 to"),
        ("+model.optimizers.generator.eps=-1", "model.optimizers.generator.eps must be a finite number of 0 or more"),
        ("+model.optimizers.generator.momentum=0.9", "model.optimizers.generator.momentum is no setting of it"),
        ("model.optimizers.generator=abc", "model.optimizers.generator must be a node with _target_, got 'abc'"),
        ("model.optimizers.generator._target_=torch.optim.Adan", "Error: model.optimizers.generator: Error loading"),
        ("model.optimizers.generator._target_=abc", "Error: model.optimizers.generator: Expected a callable target"),
        ("model.n_critic=abc", "model.n_critic must be a whole number, got 'abc'"),
        ("model.n_critic=0", "model.n_critic must be 1 or more, got 0"),
        ("model.ema_half_life_kimg=abc", "model.ema_half_life_kimg must be a number"),
        ("model.top_k=abc", "model.top_k must be a number"),
        ("+model.clip_norm.generator=abc", "model.clip_norm.generator must be a number, got 'abc'"),
        ("+model.beta2.generator=2", "model.beta2.generator must be a number from 0 to below 1"),
        ("model.augment=abc", "model.augment must be keys with values, got 'abc'"),
        ("+model.regularizers.r1=5", "model.regularizers.r1 must be a node with _target_ or null, got 5"),
        ("model.freeze=abc", "model.freeze must be a list, each text, got 'abc'"),
        ("model.generator.width=abc", "model.generator.width must be a whole number, got 'abc'"),
        ("data.image_size=[32]", "data.image_size must be one number or [height, width], got [32]"),
        ("data.image_size=null", "data.image_size must be a whole number or a list"),
        ("data.channels=abc", "data.channels must be a whole number, got 'abc'"),
        ("data.resident_limit_mb=abc", "data.resident_limit_mb must be a number, got 'abc'"),
        ("callbacks.metrics.every_kimg=abc", "callbacks.metrics.every_kimg must be a number or null, got 'abc'"),
        ("callbacks.metrics.every_kimg=-1", "callbacks.metrics.every_kimg must be more than 0"),
        ("callbacks.checkpoint.keep=abc", "callbacks.checkpoint.keep must be a whole number, got 'abc'"),
        ("callbacks.health.images=[1]", "callbacks.health.images must be a whole number, got [1]"),
    ],
)
def test_a_value_that_what_is_built_cannot_take(word, said, here):
    """unitable#36, ALBEF#128: "'<=' not supported", "list index out of range", without a place."""
    assert_refused(here, "train", [*UNSCORED, BRIEF, word], said)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("evaluation.num_samples=abc", "evaluation.num_samples must be a whole number, got 'abc'"),
        ("evaluation.num_samples=-1", "needs num_samples >= 2, got -1"),
        ("evaluation.seed=-1", "evaluation.seed must be 0 or more, got -1"),
        ("evaluation.metrics.kid.subset_size=abc", "evaluation.metrics.kid.subset_size must be a whole number"),
        ("evaluation.metrics.kid=abc", "evaluation.metrics.kid must be a node with _target_ or null, got 'abc'"),
        ("evaluation.watched=abc", "evaluation.watched must be true or false, got 'abc'"),
    ],
)
def test_a_value_that_the_evaluation_cannot_take(word, said, here):
    assert_refused(here, "train", [*SMALL, BRIEF, word], said)


def test_a_folder_whose_name_is_a_number(here):
    assert_refused(here, "train", ["data=folder", "data.root=2024"], "data.root must be", "'data.root=\"2024\"'")


# Groups and their choices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("train", ["model=dcgna"], ["there is no model=dcgna; do you mean model=dcgan?", "wgan_gp"]),
        ("train", ["experiment=dcgan_mnits"], ["do you mean experiment=dcgan_mnist"]),
        ("train", ["experiment=own_picture"], ["do you mean experiment=own_pictures?\n  choices of experiment:\n  a"]),
        ("train", ["modle=gan"], ["unknown key modle; do you mean model?"]),
        ("train", ["model=-1"], ["model=-1: model must be one of", "dcgan"]),
        ("train", ["model=null"], ["model=null: model must be one of", "dcgan"]),
        ("train", ["model=[1,2]"], ["model=[1,2]: model must be one of"]),
        ("train", ["debug=1"], ["debug must be true, false or one of anomaly, fast, overfit, profile"]),
        ("train", ["debug=fsat"], ["do you mean debug=fast?"]),
        ("train", ["augment=ada"], ["write +augment@model.augment.ada=ada"]),
        ("train", ["metric=kid"], ["write +metric@evaluation.metrics.kid=kid"]),
        ("sample", ["debug=fast"], ["debug must be true or false, got fast"]),
        ("fit_extractor", ["evaluation=none"], ["this command has no group evaluation"]),
        ("train", ["--seed", "3"], ["unknown option --seed", "key=value without dashes", "seed=..."]),
        ("train", ["--batch-size=4"], ["batch_size=4"]),
        ("train", ["seed"], ["'seed' is no setting: write key=value"]),
    ],
)
def test_a_choice_that_is_not_there(command, words, said, here):
    assert_refused(here, command, words, *said)


def test_choices_are_in_lines_of_a_screen(here):
    done = here("train", "model=nothing_like_it")
    told = done.output[done.output.index("Error:") :].splitlines()
    assert told[0] == "Error: there is no model=nothing_like_it"
    assert told[1] == "  choices of model:"
    assert len(told) > 4
    assert all(len(line) <= 102 for line in told)


def test_nothing_chosen_is_what_there_was(here):
    """`experiment=null` and `debug=null` were "must be a string or a list", though they stand so in the config."""
    assert read_words(["experiment=null", "debug=null", "seed=1"], TRAIN).words == ["seed=1"]
    assert groups_of(TRAIN)["model"] == "dcgan"


def test_tracebacks_by_the_key_that_help_lists(here):
    done = here("train", "debug=true", "seed=-1")
    assert done.code == 1
    assert "Traceback" in done.output
    assert "Error: seed must be 0 or more, got -1" in done.output
    assert "Traceback" in here("sample", "debug=true", "checkpoint=nowhere").output
    assert "Traceback" in here("train", "debug=fast", "seed=-1").output
    assert "Traceback" not in here("train", "debug=fast", "debug=false", "seed=-1").output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["seed=1", "--multirun", "threads=1"], ["seed=1", "threads=1", "--multirun"]),
        (["-m", "seed=1,2"], ["seed=1,2", "-m"]),
        (["seed=1", "--cfg", "job", "threads=1", "--resolve"], ["seed=1", "threads=1", "--cfg", "job", "--resolve"]),
    ],
)
def test_options_between_settings(words, expected):
    """hydra#3053: "unrecognized arguments" of whatever stood after --multirun."""
    assert read_words(words, TRAIN).words == expected


# Paths that the grammar takes for something else -------------------------------------------------------------------

PATHS = [
    "a=b",
    "my pics/a=b",
    "pics[1]",
    "pics(1)",
    "pics {old}",
    "Bücher/été",
    "写真",
    "it's",
    'say "x"',
    'back\\"slash',
    "ends=with\\",
    "a,b",
    "$HOME=x",
    "a=${b}",
    "a;b&c",
    "x#1",
    "back`tick",
    "new!",
]


@pytest.mark.parametrize("path", PATHS)
def test_the_quotes_that_a_path_needs(path, here):
    """hydra#1577, #2891, #2705: the message's own text, given to a shell and to the grammar, is that very path."""
    done = here("train", "data=folder", f"data.root={path}")
    assert done.code == 1
    found = re.search(r"(?:write |As one text: )(.*?)(?:; as a list: .*)?$", done.output, re.MULTILINE)
    assert found, done.output
    (word,) = shlex.split(found[1])
    override = OverridesParser.create().parse_override(word)
    assert override.key_or_group == "data.root"
    assert not override.is_sweep_override()
    value = override.value()
    assert value.replace("\\${", "${") == path, "OmegaConf takes \\${ for ${"


@pytest.mark.parametrize("path", ["my pics/a=b", 'say "x"', "Bücher/été", "ends=with\\"])
def test_in_these_quotes_the_path_is_looked_for(path, here):
    (word,) = shlex.split(quoted(f"data.root={path}"))
    assert_refused(here, "train", ["data=folder", word], f"{path} does not exist")


def test_a_home_folder(here, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "a b"))
    done = here("train", "data=folder", "data.root=~/pics")
    (word,) = shlex.split(re.search(r"write (.*)", done.output)[1])
    assert OverridesParser.create().parse_override(word).value() == str(tmp_path / "a b" / "pics")


# Recipes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("model: wgan_gp", ["mine.yaml: model: wgan_gp", "defaults: [{override /model: wgan_gp}]"]),
        ("evaluation: none", ["mine.yaml: evaluation: none", "defaults: [{override /evaluation: none}]"]),
        ("defaults: [{model: wgan_gp}]", ["defaults: [{override /model: wgan_gp}]"]),
        ("defaults: [{/model: wgan_gp}]", ["defaults: [{override /model: NAME}]"]),
        ("defaults: [{override model: wgan_gp}]", ["defaults: [{override /model: NAME}]"]),
        ("defaults: [{override /model: wgan_pg}]", ["there is no model=wgan_pg; do you mean model=wgan_gp?"]),
        ("seed: abc", ["experiment/mine", "seed must be a whole number, got abc"]),
        ("seed: null", ["experiment/mine", "seed cannot be null"]),
        ("model: {augment: diffaugment}", ["model.augment must be keys with values, got 'diffaugment'"]),
    ],
)
def test_a_choice_where_settings_belong(recipe, said, here):
    """hydra#1662, lightning-hydra-template#282: "'str' object has no attribute 'items'"."""
    (here.folder / "experiments").mkdir()
    (here.folder / "experiments" / "mine.yaml").write_text(f"# @package _global_\n# Mine.\n{recipe}\n")
    assert_refused(here, "train", ["experiment=mine", *UNSCORED[:3], "trainer=cpu", "threads=1", BRIEF], *said)


# Seeds -------------------------------------------------------------------------------------------------------------


def test_the_most_that_a_seed_can_be(here):
    """Lightning#21028: numpy's legacy generators end at 2**32."""
    for seed in (2**32, 2**64 - 1):
        done = here("train", *UNSCORED, BRIEF, f"seed={seed}", "callbacks.health=null")
        assert done.code == 0, done.output
        assert f"seed{seed}/metrics.csv" in done.output
