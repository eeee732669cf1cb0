"""What tests share: laws without a stop-watch, the dashboard and an audit to open in it."""

from functools import partial

import pytest
from hypothesis import HealthCheck, settings

# On a busy machine an example takes its time; that says nothing of the law.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def audit(tmp_path_factory):
    """A folder of an audit of 600 faces, and its rows; to look at, not to write in."""
    from audit_folder import write_audit_folder  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("dashboard") / "audit"
    return folder, write_audit_folder(folder)


@pytest.fixture
def visit(monkeypatch):
    """Run the dashboard on a folder, with a query, at a page; the URL's path chooses the page."""
    from dashboard_app import visit_dashboard  # noqa: PLC0415  (it loads Streamlit)

    return partial(visit_dashboard, monkeypatch)
