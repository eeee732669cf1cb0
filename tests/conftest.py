"""The dashboard, and an audit to open in it, for the tests of its pages."""

from functools import partial

import pytest


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
