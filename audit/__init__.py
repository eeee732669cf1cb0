"""What is true of a table of face age and gender predictions, by group and with its uncertainty.

`import audit` is light: pandas, fairlearn and DuckDB are loaded when an audit runs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from audit.errors import InputError, MachineError

if TYPE_CHECKING:
    from audit.config import AuditSettings
    from audit.corrections import apply_recalibration, read_recalibration
    from audit.metrics import METRICS
    from audit.recalibrating import recalibrate
    from audit.result import AuditResult
    from audit.run import run_audit

__all__ = [
    "METRICS",
    "AuditResult",
    "AuditSettings",
    "InputError",
    "MachineError",
    "apply_recalibration",
    "read_recalibration",
    "recalibrate",
    "run_audit",
]


_HOMES = {  # loaded when asked for
    "METRICS": "audit.metrics",
    "AuditResult": "audit.result",
    "AuditSettings": "audit.config",
    "apply_recalibration": "audit.corrections",
    "read_recalibration": "audit.corrections",
    "recalibrate": "audit.recalibrating",
    "run_audit": "audit.run",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'audit' has no attribute {name!r}")
