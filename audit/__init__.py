"""What is true of a table of face age and gender predictions, by group and with its uncertainty.

`import audit` is light: fairlearn and DuckDB are loaded when an audit runs.
"""

from typing import TYPE_CHECKING, Any

from audit.config import AuditSettings
from audit.errors import InputError, MachineError
from audit.metrics import METRICS
from audit.result import AuditResult

if TYPE_CHECKING:
    from audit.run import run_audit

__all__ = ["METRICS", "AuditResult", "AuditSettings", "InputError", "MachineError", "run_audit"]


def __getattr__(name: str) -> Any:
    if name == "run_audit":
        from audit.run import run_audit  # noqa: PLC0415  (an audit loads fairlearn and DuckDB)

        return run_audit
    raise AttributeError(f"module 'audit' has no attribute {name!r}")
