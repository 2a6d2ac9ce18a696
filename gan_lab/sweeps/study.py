"""A shared study: where it is kept, and which of its trials count.

A trial whose worker died or was interrupted is closed as failed and tried again under a new number; the two are one
chain, of which the last one counts.
"""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

JOURNALS = (".log", ".journal")
ATTEMPTS = 4  # to open a database, a second apart
RETRIES = 5  # of a trial whose worker died: one that kills each worker does not go round for ever
SILENT_BEATS = 4  # after so many heartbeats without a sign a worker is dead
SURPLUS = "surplus"
ERROR = "error"


def location(where: str) -> Any:
    """The database, as SQLAlchemy's URL, or the path of a journal.

    Raises:
        ValueError: neither.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if where.endswith(JOURNALS) and "://" not in where:
        return Path(where)
    try:
        url = make_url(where if "://" in where else f"sqlite:///{where}")
    except ArgumentError as error:
        raise ValueError(f"sweep.storage is no address of a database: {error}") from error
    if url.drivername == "sqlite" and not str(url.database).endswith((".db", ".sqlite", ".sqlite3")):
        raise ValueError(
            f"sweep.storage={where} is no place for a study: give postgresql://user@host/database, a file that ends "
            f"in .db (SQLite, for one machine), or one that ends in {' or '.join(JOURNALS)} (a shared file system)"
        )
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def shown(where: str) -> str:
    """The place without its password."""
    place = location(where)
    return str(place) if isinstance(place, Path) else place.render_as_string(hide_password=True)


def open_storage(where: str, heartbeat_s: int) -> Any:
    """Optuna's storage at a place: see `location`.

    Args:
        heartbeat_s: seconds from one sign of life of a worker to the next; a journal has none.
    Raises:
        RuntimeError: the database does not answer.
    """
    import optuna
    from sqlalchemy.exc import DBAPIError

    place = location(where)
    if isinstance(place, Path):
        from optuna.storages.journal import JournalFileBackend

        place.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(str(place)))
    options: dict[str, Any] = {"pool_pre_ping": True}
    if place.drivername == "sqlite":
        Path(place.database).parent.mkdir(parents=True, exist_ok=True)
        options = {"connect_args": {"timeout": 60}}
    for patience in reversed(range(ATTEMPTS)):
        try:
            return optuna.storages.RDBStorage(
                place.render_as_string(hide_password=False),
                engine_kwargs=options,
                heartbeat_interval=heartbeat_s,
                grace_period=SILENT_BEATS * heartbeat_s,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
            )
        except DBAPIError as error:  # perhaps for another worker that makes the tables at the same moment
            if not patience:
                reason = str(error.orig).strip().splitlines()[0]
                raise RuntimeError(f"the study's database {shown(where)} cannot be used: {reason}") from error
            time.sleep(1)
    return None


def history(trial: Any) -> list[int]:
    """Numbers of the trials that this one tries again, in order."""
    from optuna.storages import RetryHeartbeatStaleTrialCallback

    return RetryHeartbeatStaleTrialCallback.retry_history(trial)


def counting(trials: Sequence[Any]) -> list[Any]:
    """The last trial of each chain, without those that were one too many."""
    again = {number for trial in trials for number in history(trial)}
    return [trial for trial in trials if trial.number not in again and SURPLUS not in trial.user_attrs]


def is_surplus(number: int, trials: Sequence[Any], n_trials: int) -> bool:
    """Whether another worker began the study's last trial at the same moment, and a little earlier."""
    first = [trial.number for trial in trials if not history(trial) and SURPLUS not in trial.user_attrs]
    return number in first and sum(other < number for other in first) >= n_trials


def try_again(study: Any, number: int) -> None:
    """Queue the values of a trial once more."""
    from optuna.storages import RetryHeartbeatStaleTrialCallback

    trial = next(trial for trial in study.get_trials(deepcopy=True) if trial.number == number)
    RetryHeartbeatStaleTrialCallback()(study, trial)


def quiet() -> None:
    """Without Optuna's log of trials, which this package prints itself, and remarks on parts that may change."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used with Study.optimize")
