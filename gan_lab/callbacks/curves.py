"""The curves of a run as one picture, curves.png."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from gan_lab.callbacks.base import TickCallback, is_first_rank, run_dir
from gan_lab.evaluation.scores import OF_WAY_BACK
from gan_lab.runs.records import read_rows, scores_of


class Curves(TickCallback):
    """Redraws curves.png from metrics.csv and the scores at intervals and at the end."""

    def tick(self, trainer: Trainer, module: Any) -> None:
        if is_first_rank():
            with self.going_on_without(str(run_dir(trainer) / "curves.png"), Exception):  # a picture of what may be odd
                draw(run_dir(trainer))


def draw(folder: Path) -> Path | None:
    """Losses, logits, gradient norms and the monitored score of a run over images seen; None if there are no rows."""
    rows, scores = read_rows(folder / "metrics.csv"), scores_of(folder)
    if not rows:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 6))
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.09, top=0.95, hspace=0.4, wspace=0.16)  # no search for it
    for axis, (title, prefix) in zip(
        axes.flat, [("loss", "loss/"), ("logits", "logits/"), ("gradient norm", "grad_norm/")], strict=False
    ):
        for name in [name for name in rows[0] if name.startswith(prefix)]:
            points = [(int(row["images_seen"]) / 1000, float(row[name])) for row in rows if row[name]]
            axis.plot(*zip(*points, strict=True), label=name.removeprefix(prefix), linewidth=1)
        axis.set_title(title)
        if axis.lines:
            axis.legend()
    axes[1][0].set_yscale("log")
    scored = axes[1][1]
    if scores:
        name = scores[-1]["monitored"]
        back = f"{name}{OF_WAY_BACK}"  # where both directions are scored
        for shown in (name, *([back] if back in scores[-1]["scores"] else [])):
            points = [(line["images_seen"] / 1000, line["scores"][shown]) for line in scores if shown in line["scores"]]
            scored.plot(*zip(*points, strict=True), marker="o", markersize=3, label=shown)
        scored.set_title(name)
        if len(scored.lines) > 1:
            scored.legend()
    else:
        scored.set_axis_off()
        scored.text(0.5, 0.5, "not scored", ha="center", va="center")
    for axis in axes.flat[: None if scores else 3]:
        axis.set_xlabel("kimg")
        axis.grid(alpha=0.3)
    path = folder / "curves.png"
    temporary = path.with_name(".curves.png")
    figure.savefig(temporary, dpi=100, format="png")
    plt.close(figure)
    temporary.replace(path)
    return path
