"""How the dashboard is served: from this machine to this machine, on which port."""

import asyncio
import socket

import pytest
import streamlit.config

from audit.errors import InputError
from reports import serve


def test_the_options_are_ones_that_streamlit_knows():
    known = set(streamlit.config._config_options_template)
    assert set(serve.settings(8501)) <= known


def test_the_options_keep_the_dashboard_on_this_machine():
    options = serve.settings(8501)
    assert options["server.address"] == "127.0.0.1"
    assert options["server.allowedHosts"] == ["localhost", "127.0.0.1"]
    assert options["browser.gatherUsageStats"] is False
    assert options["client.showErrorDetails"] == "none"


def test_a_folder_without_a_result_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(InputError, match=r"no result\.json"):
        serve.serve(tmp_path, port=None, browser=False)


@pytest.fixture
def taken():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_given_port_in_use_is_named(taken):
    with pytest.raises(InputError, match=f"port {taken} is in use"):
        serve._free_port(taken)


def test_without_a_port_the_next_free_one_is_taken(taken, monkeypatch):
    monkeypatch.setattr(serve, "FIRST_PORT", taken)
    assert taken < serve._free_port(None) < taken + 100


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(InputError, match="is no port"):
        serve._free_port(port)


@pytest.mark.parametrize(
    ("path", "query", "page"),
    [
        ("/errors/", b"", b"/errors"),
        ("/nopage/more", b"race=Black", b"/nopage?race=Black"),
        ("/errors", b"", None),
        ("/media/file.csv", b"", None),
        ("/_stcore/bidi-components/faceaudit.gallery/index.js", b"", None),
        ("//evil.example/more", b"", None),
    ],
)
def test_an_address_beneath_a_page_leads_to_the_page(path, query, page):
    """Streamlit answers with a page whose scripts are not there: it stayed white."""
    sent = []

    async def send(message):
        sent.append(message)

    async def app(*_):
        sent.append({"headers": []})

    scope = {"type": "http", "path": path, "query_string": query}
    asyncio.run(serve.LookAtTheRoot(app)(scope, None, send))
    assert dict(sent[0]["headers"]).get(b"location") == page
