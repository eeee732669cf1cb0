"""The dashboard by AppTest, for the tests of its pages: one run of the script, and its words."""

import json
import sys
from pathlib import Path

from streamlit.testing.v1 import AppTest

HOSTILE = "<img src=x onerror=alert(1)>"
SCRIPT = Path(__file__).parents[1] / "streamlit_app.py"


def visit_dashboard(monkeypatch, folder, *more, page="", **query):
    """Run the dashboard on a folder (and a run), with a query, at a page."""
    monkeypatch.setattr(sys, "argv", ["streamlit_app.py", str(folder), *map(str, more)])
    app = AppTest.from_file(str(SCRIPT), default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    if page:
        app.session_state["page asked for"] = page
    return app.run()


def words(app):
    """All that `st.html` put on the page."""
    return "\n".join(element.proto.body for element in app.main.get("html"))


def cards_of(app):
    """The cards of the one gallery on the page."""
    (gallery,) = app.main.get("bidi_component")
    return json.loads(gallery.proto.json)["cards"]
