"""Serve the dashboard of one audit folder, from this machine to this machine only.

Two walls stand against a hostile web page that points its own name at 127.0.0.1 (DNS rebinding):
`server.allowedHosts`, which guards Streamlit's WebSocket, and a middleware that refuses every
other request whose Host is not ours, which Streamlit alone would answer. A third keeps the page
from fetching anything of elsewhere, whatever a table's words or a config.toml would have it fetch.
"""

import importlib
import importlib.util
import os
import re
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from audit.errors import InputError
from audit.result import AuditResult

ADDRESS = "127.0.0.1"
HOSTS = ("localhost", "127.0.0.1")
FIRST_PORT = 8501
_PORTS_TRIED = 100
_AHEAD = 2.0  # seconds: the first page comes first, then the figures of the others
# A page opened by its own address makes Streamlit's script look for the server beneath that page
# before it looks at the root.
_BENEATH_A_PAGE = re.compile(r"/[^/]+/_stcore/(health|host-config)")
# Streamlit answers any other address beneath a page with a page whose scripts are not there.
_TOO_DEEP = re.compile(r"/(?!(?:_stcore|app|component|media|static)/)([A-Za-z0-9_-]+)/.*")

# System UI faces, nearest first; Streamlit knows no `system-ui` of its own.
_FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", '
    '"Liberation Sans", Arial, sans-serif'
)
_LOOK: Mapping[str, Any] = {
    "theme.font": _FONT,
    "theme.headingFont": _FONT,
    "theme.codeFont": 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
    "theme.baseRadius": "4px",
    "theme.showWidgetBorder": True,
    "theme.showSidebarBorder": True,
    "theme.headingFontWeights": [600, 600, 600, 600, 600, 600],
    "theme.headingFontSizes": ["28px", "22px", "17px", "15px", "15px", "15px"],
    "theme.metricValueFontSize": "34px",
    "theme.light.primaryColor": "#0072b2",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f5f6f7",
    "theme.light.textColor": "#16191d",
    "theme.light.linkColor": "#00619a",
    "theme.light.borderColor": "#d9dce0",
    "theme.dark.primaryColor": "#56b4e9",
    "theme.dark.backgroundColor": "#14171a",
    "theme.dark.secondaryBackgroundColor": "#1d2125",
    "theme.dark.textColor": "#eceef0",
    "theme.dark.linkColor": "#7cc5ee",
    "theme.dark.borderColor": "#343a41",
}


def settings(port: int) -> dict[str, Any]:
    """Streamlit's options. They win over every config.toml and STREAMLIT_* variable.

    Beside what is wanted, this names what a person's own config.toml could loosen.
    """
    return {
        "server.address": ADDRESS,
        "server.port": port,
        "server.allowedHosts": list(HOSTS),
        "server.enableCORS": True,
        "server.corsAllowedOrigins": [],
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.trustedUserHeaders": "{}",
        "server.baseUrlPath": "",
        "server.customComponentBaseUrlPath": "",
        "server.sslCertFile": "",
        "server.sslKeyFile": "",
        "server.headless": True,
        "server.showEmailPrompt": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": ADDRESS,
        "browser.serverPort": port,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "minimal",
        "client.allowedOrigins": [],
        "secrets.files": [],  # we have none, and a home that cannot be read must not matter
        "global.developmentMode": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "error",
        "runner.magicEnabled": False,
        "theme.fontFaces": [],
        **_LOOK,
    }


def serve(
    folder: Path,
    *,
    run: Path | None = None,
    images: Path | None = None,
    port: int | None = None,
    browser: bool = True,
) -> int:
    """Serve the audit in `folder` until Ctrl-C. The first line of stdout is the URL.

    `run` is the run folder or exported .onnx that reads a face again, None the audit's own;
    `images` the folder of the pictures, None the one that the audit noted.
    `port` None takes the next free one from 8501. With `browser` the page is opened too.

    Raises InputError when `folder` holds no whole result.json, `run` does not exist or a given
    `port` is in use, and KeyboardInterrupt when stopped.
    """
    result = AuditResult.load(folder)
    if run is not None and not run.exists():
        raise InputError(f"--run {run}: no such run folder or .onnx file")
    port = _free_port(port)
    url = f"http://{ADDRESS}:{port}"
    script = dashboard_script()
    for name in [n for n in os.environ if n.startswith("STREAMLIT_")]:
        del os.environ[name]  # what the options above do not name stays as shipped
    others = (str(path.resolve()) if path else "" for path in (run, images))
    sys.argv = [str(script), str(folder.resolve()), *others]

    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from streamlit.starlette import App

    from reports.charts import draw_ahead
    from reports.view import stamp_of

    stamp = stamp_of(folder / "result.json")

    def get_ready() -> None:
        draw_ahead(folder, stamp, result)
        importlib.import_module("reports.cohorts_page")

    @asynccontextmanager
    async def started(_app: App) -> AsyncIterator[None]:
        print(url, flush=True)
        ahead = threading.Timer(_AHEAD, get_ready)
        ahead.daemon = True
        ahead.start()
        if browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        yield

    walls = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False),
        Middleware(FetchNothing, port=port),
        Middleware(LookAtTheRoot),
    ]
    App(script, middleware=walls, lifespan=started).run(config=settings(port))
    return 0


class FetchNothing:
    """Tells the browser, with every answer, to fetch anything but scripts from here alone.

    Scripts are Streamlit's, which writes some into its page.
    """

    def __init__(self, app: Any, *, port: int) -> None:
        self.app = app
        sockets = " ".join(f"ws://{host}:{port}" for host in HOSTS)  # older browsers: not `self`
        policy = (
            "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; "
            f"style-src 'self' 'unsafe-inline'; connect-src 'self' {sockets}; "
            "form-action 'self'; frame-src 'none'; object-src 'none'"
        )
        self._header = (b"content-security-policy", policy.encode())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand on every question, and each answer with the policy."""

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], self._header]}
            await send(message)

        await self.app(scope, receive, answer if scope["type"] == "http" else send)


class LookAtTheRoot:
    """Answers the search for a server beneath a page with "not here", but not as an error, and
    leads what else is asked for beneath a page to that page.

    Streamlit's 404 would do, but stands in the browser's console as a failure on every page that
    is opened by its own address. A redirection without a target is neither success nor failure.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer such a question here, hand every other to the app."""
        path = scope["path"] if scope["type"] == "http" else ""
        if _BENEATH_A_PAGE.fullmatch(path):
            answer: dict[str, Any] = {"status": 300, "headers": []}
        elif deep := _TOO_DEEP.fullmatch(path):
            query = scope["query_string"]
            page = b"/" + deep[1].encode() + (b"?" + query if query else b"")
            answer = {"status": 307, "headers": [(b"location", page)]}
        else:
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", **answer})
        await send({"type": "http.response.body", "body": b""})


def dashboard_script() -> Path:
    """Where `streamlit_app.py` lies, in a checkout or an installed wheel, without running it."""
    found = importlib.util.find_spec("streamlit_app")
    if found is None or found.origin is None:
        raise InputError(
            "the dashboard is not installed: `pip install 'faceaudit[dashboard]'` adds it"
        )
    return Path(found.origin)


def _free_port(port: int | None) -> int:
    if port is not None:
        if not 1 <= port <= 65535:
            raise InputError(f"--port {port} is no port: give one from 1024 to 65535")
        if not _is_free(port):
            raise InputError(
                f"port {port} is in use (or not allowed): give another --port, "
                "or none to take the next free one"
            )
        return port
    for candidate in range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED):
        if _is_free(candidate):
            return candidate
    raise InputError(
        f"no port from {FIRST_PORT} to {FIRST_PORT + _PORTS_TRIED - 1} is free: give a --port"
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # a server that has just stopped leaves its port in TIME_WAIT
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True
