"""What a run says when it has ended: where everything is, and its scores."""

from pathlib import Path

from gan_lab.runs.records import scores_of


def closing_lines(folder: Path, *, images_seen: int, seconds: float, reason: str) -> list[str]:
    """Lines for a person; of files those that are there, with paths that can be copied whole.

    Args:
        folder: of the run.
        images_seen: by D in all.
        seconds: that this start has trained.
        reason: why training ended.
    """
    rows = [("picture grid", folder / "pictures" / "latest.png"), ("curves", folder / "curves.png")]
    checkpoints = sorted((folder / "checkpoints").glob("[0-9]*.ckpt"))
    best = folder / "checkpoints" / "best.ckpt"
    rows += [
        ("metrics", folder / "metrics.csv"),
        ("checkpoint", best if best.is_file() else max(checkpoints, default=best)),
    ]
    found = [(name, str(path)) for name, path in rows if path.is_file()]
    lines = scores_of(folder)
    for name, value in (lines[-1]["scores"] if lines else {}).items():
        if not name.endswith(("_std", "_part")):
            found.append(("score", f"{name} = {value:.4g}  (protocol {lines[-1]['protocols'][name]})"))
    width = max((len(name) for name, _ in found), default=0)
    ended = f"{images_seen / 1000:.1f} kimg in {seconds:.0f} s" + (f" ({reason})" if reason else "")
    return ["", ended, *(f"{name:<{width}}  {text}" for name, text in found)]
