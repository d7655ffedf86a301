"""The pages in a browser: a small server on this machine's loopback address.

It answers requests that name it as 127.0.0.1 or localhost and come from its own pages; any other
site that a browser has open, also one whose name is made to point here, is refused. It sends the
three files of this folder and what pages answer, and reads nothing by a path in a request.

Importing torch and Lightning takes seconds: it begins while the browser opens.
"""

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader

from seq2seq import explorer
from seq2seq.explorer.page import Page, Refused, described, understood
from seq2seq.explorer.workers import Workers, prepare

FOLDER = Path(__file__).parent
FILES = {"explorer.js": "text/javascript", "explorer.css": "text/css"}
TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
)

#: Bytes of a request's body.
MOST = 64 * 1024


class Server(ThreadingHTTPServer):
    """Serves the pages at `url`.

    Args:
        port: 0 takes any free one.
        outputs: the folder whose runs the pages may show.
        allow: packages outside the project whose classes the configs of those runs may name.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(
        self, port: int = 0, outputs: str | Path = "outputs", allow: Sequence[str] = ()
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        # Models as small as these are faster on one thread; torch reads this when it is imported.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self.pages = {name: explorer.build(name, outputs, allow) for name in explorer.PAGES}
        self.workers = {name: Workers(page) for name, page in self.pages.items()}
        prepare()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A reader who leaves is no error.
        if not isinstance(sys.exception(), ConnectionError):
            traceback.print_exc()


class Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "seq2seq"
    sys_version = ""
    timeout = 30

    def parse_request(self) -> bool:
        return super().parse_request() and self._is_ours()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        name = path.removeprefix("/")
        if not name:
            self._send(HTTPStatus.OK, "text/html", index(self.server.pages))
        elif name in FILES:
            self._send(HTTPStatus.OK, FILES[name], (FOLDER / name).read_text())
        elif name in self.server.pages:
            self._send(HTTPStatus.OK, "text/html", document(self.server.pages, name, query))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page; see /.")

    def do_POST(self) -> None:
        if self.path != "/update":
            return self._refuse(HTTPStatus.NOT_FOUND, "Requests go to /update.")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "The request must say its length.")
        if int(length) > MOST:
            return self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request is longer than {MOST} bytes."
            )
        try:
            request = json.loads(self.rfile.read(int(length)))
            understood(request)
            messages = self.server.workers[request["page"]].answer(request)
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, f"The request makes no sense: {error}")
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/x-ndjson")
        self._finish_headers()
        try:
            for message in messages:
                self.wfile.write(json.dumps(message).encode() + b"\n")
                self.wfile.flush()
        finally:
            messages.close()  # a reader who has gone away stops the work

    def _is_ours(self) -> bool:
        """Whether the request names this server, and comes from a page of it or from no page."""
        port = self.server.server_port
        hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        if (
            self.headers.get("Host") in hosts
            and (origin is None or origin.removeprefix("http://") in hosts)
            and self.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        ):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, f"Only pages of {self.server.url} are answered.")
        return False

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self._finish_headers()
        self.wfile.write(body)

    def _refuse(self, status: HTTPStatus, line: str) -> None:
        self._send(status, "text/plain", line + "\n")

    def _finish_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header(
            "Content-Security-Policy",
            # Figures carry their styles in attributes, and pictures as data.
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
            "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        )
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for what the reader must know."""


def index(pages: Mapping[str, Page]) -> str:
    """The HTML document that says what the pages are."""
    return TEMPLATES.get_template("index.html.jinja").render(
        pages=pages.values(), page={}, root="/"
    )


def document(pages: Mapping[str, Page], name: str, query: str = "") -> str:
    """The HTML document of one of the pages, its controls set to what the query says."""
    page = pages[name]
    try:
        spec = described(page, dict(parse_qsl(query)))
    except Refused:
        spec = described(page)
    template = TEMPLATES.get_template("document.html.jinja")
    return template.render(page=spec, pages=pages.values())
