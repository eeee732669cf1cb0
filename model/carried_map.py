"""The recalibration that a run folder carries for its predictions."""

from pathlib import Path

from audit.corrections import FILE, Recalibration, read_recalibration
from audit.errors import InputError
from model.run_folder import read_config


def carried_by_run(run: Path) -> Recalibration | None:
    """The map in the run folder `run`, checked; None where there is none.

    Raises InputError for a file that was cut or altered, or made for other weights.
    """
    path = run / FILE
    if not path.is_file():
        return None
    recalibration = read_recalibration(path)
    ours, theirs = read_config(run)["run_id"], recalibration.data["run_id"]
    if ours != theirs:
        raise InputError(
            f"{path} was made for run {theirs}, not for these weights ({ours}): make it again, "
            "or predict with --no-recalibration"
        )
    return recalibration
