"""When a run is scored, and where its scores go."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from gan_lab import collectives
from gan_lab.callbacks.base import Backlog, TickCallback, is_first_rank, run_dir
from gan_lab.callbacks.stop import stop_of
from gan_lab.evaluation.scores import OF_WAY_BACK, PER_IMAGE, Scores, append_record, save_per_image, save_pictures
from gan_lab.evaluation.sources import WayBack
from gan_lab.evaluation.stage import Evaluation
from gan_lab.runs.checkpoint import describe, write_snapshot
from gan_lab.runs.records import best_of, cut_scores, read_scores, scores_of, snapshots_of, watched_scores


class Evaluate(TickCallback):
    """Scores the averaged generator at intervals and at the end, and leaves a snapshot of it each time.

    Args:
        every_kimg: from one evaluation to the next, in thousands of images; None for the end alone.
        patience_kimg: end training after so many kimg without a better score; None for never.
    Attributes:
        evaluation: the stage, set before training; None trains unscored.
        watched: whether another process scores the snapshots; they then stay until it has.
        config: the resolved config, for the snapshots.
        licence: of the weights that the run began from, for the snapshots; None without any.
        best: the best monitored value so far.
        improved: whether the last evaluation was the best one.
    """

    def __init__(self, every_kimg: float | None, patience_kimg: float | None) -> None:
        super().__init__(every_kimg)
        if patience_kimg is not None and patience_kimg <= 0:
            raise ValueError(f"stop.patience_kimg must be more than 0 (or null for never), got {patience_kimg}")
        self.patience_kimg = patience_kimg
        self.evaluation: Evaluation | None = None
        self.watched = False
        self.config: dict[str, Any] = {}
        self.licence: str | None = None
        self.keep_snapshots: int | None = None
        self.best: float | None = None
        self.best_images = 0
        self.best_protocol: str | None = None
        self.improved = False
        self.scored_at = -1
        self.scores: dict[str, float] = {}
        self._backlog = Backlog(self, append_record, lambda record: record[0]["images_seen"])

    def state_dict(self) -> dict[str, Any]:
        names = ("best", "best_images", "best_protocol", "scored_at", "scores")
        return {name: getattr(self, name) for name in names} | {"waiting": list(self._backlog.entries)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        self._backlog.entries = list(state.pop("waiting", []))
        for name, value in state.items():
            setattr(self, name, value)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        pl_module.latest.update(self.scores)
        folder = run_dir(trainer)
        if is_first_rank():
            with self.going_on_without(str(folder / "scores.jsonl")):
                cut_scores(folder / "scores.jsonl", pl_module.images_seen)
                self._backlog.leave_out({line["images_seen"] for line in read_scores(folder / "scores.jsonl")})
            for images, snapshot in snapshots_of(folder).items():
                if images > pl_module.images_seen:  # to be left again, perhaps with other weights
                    _delete(snapshot)
        if self.best is None and (best := collectives.from_first_rank(lambda: best_of(scores_of(folder)))):
            name = best["monitored"]  # by another process: from now on the run scores itself
            self.best, self.best_images = best["scores"][name], best["images_seen"]
            self.best_protocol = best["protocols"][name]
        if self.evaluation is not None:
            network, data = pl_module.network_for_samples(), trainer.datamodule  # type: ignore[attr-defined]
            back = self._way_back(pl_module)
            self.evaluation.rehearse(network, pl_module.inputs, data, device=pl_module.device, back=back)

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.improved = False

    def tick(self, trainer: Trainer, module: Any) -> None:
        if module.images_seen == self.scored_at:
            return
        module.check_finite()
        module.agree()
        self.scored_at = module.images_seen
        if is_first_rank():
            self._leave_snapshot(run_dir(trainer), module)
        if self.evaluation is None:
            return
        scores = self.evaluation.score(
            module.network_for_samples(),
            module.inputs,
            trainer.datamodule,  # type: ignore[attr-defined]
            weights=module.weights_for_samples,
            device=module.device,
            progress=module.report,
            back=self._way_back(module),
        )
        module.report("", 0, 0)
        self._note(scores, module)
        if is_first_rank():
            run = run_dir(trainer)
            self._backlog.add(run / "scores.jsonl", [scores.line(module.images_seen), scores.records])
            with self.going_on_without(str(run / "pictures")):
                save_pictures(run / "pictures", module.images_seen, scores)
            with self.going_on_without(str(run / PER_IMAGE)):
                save_per_image(run, module.images_seen, scores)
            self.log_to(trainer, {f"eval/{k}": v for k, v in scores.values.items()}, module.images_seen)

    def _way_back(self, module: Any) -> WayBack | None:
        """The generator of the other direction, of a model that translates either way."""
        if not module.directions:
            return None
        _, back = module.directions
        inputs = type(module).inputs_from(self.config["model"], direction=back)
        return WayBack(module.network_for_samples(direction=back), inputs)

    def _note(self, scores: Scores, module: Any) -> None:
        shown = (scores.monitored, f"{scores.monitored}{OF_WAY_BACK}")
        self.scores = {f"eval/{name}": scores.values[name] for name in shown if name in scores.values}
        module.latest.update(self.scores)
        value, protocol = scores.monitored_value, scores.protocols[scores.monitored]
        comparable = self.best is not None and self.best_protocol == protocol
        if not comparable or (value > self.best if scores.higher_is_better else value < self.best):  # type: ignore[operator]
            self.best, self.best_images, self.best_protocol = value, module.images_seen, protocol
            self.improved = True
        elif self.patience_kimg is not None and module.images_seen - self.best_images >= 1000 * self.patience_kimg:
            stop_of(module.trainer).ask(f"no better {scores.monitored} for {self.patience_kimg:g} kimg")

    def _leave_snapshot(self, run: Path, module: Any) -> None:
        about = describe(self.config) | {
            "images_seen": module.images_seen,
            "network": module.sampled_network,
            "weights": module.weights_for_samples,
            "inputs": module.inputs.state_dict(),
        }
        if module.directions:
            about["directions"] = module.directions
        if self.licence is not None:
            about["licence"] = self.licence
        name = f"{module.images_seen:012d}.safetensors"
        write_snapshot(run / "snapshots" / name, module.networks_for_snapshot(), about)
        if self.keep_snapshots is None:
            return
        old = list(snapshots_of(run).items())[: -self.keep_snapshots]
        if self.watched and old:
            scored = watched_scores(run).keys() | {line["images_seen"] for line in read_scores(run / "scores.jsonl")}
            old = [(images, snapshot) for images, snapshot in old if images in scored]
        for _, snapshot in old:
            _delete(snapshot)


def _delete(snapshot: Path) -> None:
    snapshot.unlink()
    snapshot.with_suffix(".json").unlink(missing_ok=True)
