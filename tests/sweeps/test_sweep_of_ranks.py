"""`--multirun` with `trainer=ddp`: each job trains on ranks of its own, all with that job's settings."""

import json

from conftest import SMALL

RUN = [
    *(option for option in SMALL if option != "trainer=cpu" and not option.startswith("evaluation.")),
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.devices=2",
    "evaluation=none",
    "total_kimg=0.064",
    "callbacks.pictures=null",
    "callbacks.curves=null",
    "+callbacks.wrote={_target_: witness.Wrote, model: ${model._target_}, seed: ${seed}}",
    "paths.runs_dir=runs",
]


def test_every_rank_of_every_job_has_its_settings_and_a_failing_job_stops_no_other(command, tmp_path):
    done = command("train", "--multirun", *RUN, "model=dcgan,lsgan", "seed=-1,1")
    assert done.code == 1
    assert done.output.count("seed must be 0 or more, got -1") >= 2, done.output
    wrote = {}
    for path in (tmp_path / "runs").rglob("wrote*.json"):
        found = json.loads(path.read_text())
        assert found["said"] == {"model": found["model"], "seed": found["seed"]}, path
        wrote.setdefault((found["model"], found["seed"]), []).append(path.name)
    expected = [("gan_lab.models.dcgan.DCGAN", 1), ("gan_lab.models.lsgan.LSGAN", 1)]
    assert sorted(wrote) == expected
    assert all(sorted(names) == ["wrote0.json", "wrote1.json"] for names in wrote.values())
