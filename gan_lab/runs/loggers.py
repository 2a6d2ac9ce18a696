"""Loggers beside the files that are always written. The run's id lives in its folder, so it survives a resume."""

from pathlib import Path
from typing import Any


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

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in ("offline", "online", "disabled"):
        raise ValueError(f"wandb.mode must be offline, online or disabled, got {mode!r}")
    import wandb
    from pytorch_lightning.loggers import WandbLogger

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
    return WandbLogger(experiment=run)


def tensorboard_logger(*, folder: str, run_id: str, name: str) -> Any:
    """TensorBoard event files in `<folder>/tensorboard`.

    Raises:
        ImportError: TensorBoard is not installed.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError("logger=tensorboard needs: pip install 'gan-lab-platform[tensorboard]'") from error
    from pytorch_lightning.loggers import TensorBoardLogger

    return TensorBoardLogger(save_dir=folder, name="tensorboard", version="")
