"""Loggers beside the files that are always written. The run's id lives in its folder, so it survives a resume."""

import os
from pathlib import Path
from typing import Any

from gan_lab.installing import install_command

MODES = ("online", "offline", "disabled")  # from what leaves the machine to nothing at all


def wandb_logger(
    *,
    folder: str,
    run_id: str,
    name: str,
    mode: str,
    project: str,
    entity: str | None,
    group: str | None,
    job_type: str = "train",
) -> Any:
    """Weights & Biases, offline unless `mode` is "online"; the same id goes on after a resume.

    The variable WANDB_MODE may restrict `mode`, not widen it. Steps are images seen, so that the parts of a run that
    was resumed offline follow one another when they are synced (wandb#4848: only disjoint steps are appended).

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"wandb.mode must be offline, online or disabled, got {mode!r}")
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    class ImagesLogger(WandbLogger):
        """Lightning's leaves the step to W&B, which counts from 0 in every part of a run."""

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            self.experiment.log(dict(metrics), step=step)

    asked = os.environ.get("WANDB_MODE", "")
    if asked in MODES:
        mode = max(mode, asked, key=MODES.index)
    Path(folder).mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        dir=folder,
        id=run_id,
        name=name,
        mode=mode,  # type: ignore[arg-type]
        project=project,
        entity=entity,
        group=group,
        resume="allow",
        job_type=job_type,
    )
    return ImagesLogger(experiment=run)


def tensorboard_logger(*, folder: str, run_id: str, name: str) -> Any:
    """TensorBoard event files in `<folder>/tensorboard`.

    Raises:
        ImportError: TensorBoard is not installed.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError(f"logger=tensorboard needs: {install_command('tensorboard')}") from error
    from pytorch_lightning.loggers import TensorBoardLogger

    return TensorBoardLogger(save_dir=folder, name="tensorboard", version="")
