"""The server of the Studio: one page on the loopback interface, for whoever has its token.

It is Python's own server. Answers are whole and short; windows ask for what is new, so that nothing is lost when one of
them goes, and no connection is held open.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mimetypes
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ...hdl.errors import InputError, OptionError, SpikeloomError
from ..explain import explain, one_line
from . import uploads, views
from .access import NAMES, Access
from .studio import PANELS, Studio

PORT = 8642
"""The first that is tried."""

PORTS = 20
"""How many ports are tried where the first ones are taken."""

MAX_FORM_BYTES = 1 << 16
IDLE_SECONDS = 60
DRAINED_BLOCKS = 64
"""Of a mebibyte, that are read of a file after it was refused."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)
_STATIC = {
    "/studio.css": ("studio", "studio.css"),
    "/studio.js": ("studio", "studio.js"),
    "/report.css": ("report", "page.css"),
}
"""Files by room: plots look as they do in reports."""

_LENGTH = "a request says how long it is: this one does not; reload the page"
_NO_TOKEN = "the Studio is opened by the address that spikeloom studio printed, which has a token: open that"


class Server(ThreadingHTTPServer):
    """The server of a Studio at the first free port from `port` on, or at that one alone where it is `exact`.

    Raises OptionError where it is taken.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, studio: Studio, port: int = PORT, *, exact: bool = False) -> None:
        self.studio = studio
        for number in [port] if exact else range(port, port + PORTS):
            try:
                super().__init__((NAMES[0], number), _Handler)
                break
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
        else:
            raise OptionError(f"the Studio needs a free port: {port} is taken; choose another with --port")
        self.access = Access(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A window that went away is nothing to tell of."""


class _Body:
    """The body of a request, whose end is where its length says."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream, self._left = stream, length

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        block: bytes = self._stream.read(min(size, self._left)) if self._left > 0 else b""
        self._left -= len(block)
        return block


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server_version, sys_version = "Spikeloom", ""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses have the token in them."""

    def do_GET(self) -> None:
        """A page, a panel, a file."""
        self._answer(self._get, writes=False)

    def do_POST(self) -> None:
        """Something to do."""
        self._answer(self._post, writes=True)

    def _answer(self, serve: Callable[[str, dict[str, list[str]]], None], *, writes: bool) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=100)
        access = self.server.access
        headers = _plain(self.headers)
        if (why := access.foreign(headers, writes=writes)) is not None:
            return self._refuse(HTTPStatus.FORBIDDEN, why)
        if not writes and parts.path == "/" and access.is_token(query.get("token", [""])[0]):
            return self._send(HTTPStatus.SEE_OTHER, b"", "text/plain", {"Location": "/", "Set-Cookie": access.cookie})
        if not access.knows(headers):
            return self._refuse(HTTPStatus.FORBIDDEN, _NO_TOKEN)
        try:
            serve(parts.path, query)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            self._refuse(*_refusal(error))

    # -- what is served ----------------------------------------------------------------------------------------

    def _get(self, path: str, query: dict[str, list[str]]) -> None:
        studio = self.server.studio
        names = [unquote(part) for part in path.split("/")[1:]]
        if path == "/":
            self._html(views.page(studio))
        elif path == "/state":
            self._json(studio.state())
        elif path in _STATIC:
            self._static(*_STATIC[path])
        elif names[0] == "panel" and len(names) == 2 and names[1] in PANELS:
            self._html(views.panel(studio, names[1]))
        elif names[0] == "report" and len(names) == 2:
            self._page(studio.builds.page(names[1]), f"{names[1]}.html" if "download" in query else None)
        elif path == "/compare":
            self._page(studio.builds.compared(query.get("build", [])), None)
        elif names[0] == "file" and len(names) >= 3:
            name = "/".join(names[2:])
            self._download(studio.builds.file(names[1], name), f"{names[1]}-{PurePosixPath(name).name}")
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "the Studio has no such page; reload it")

    def _post(self, path: str, query: dict[str, list[str]]) -> None:
        studio = self.server.studio
        actions: dict[str, Callable[[], None]] = {
            "/example": studio.load_example,
            "/start": studio.start,
            "/stop": studio.pipeline.stop,
            "/resume": studio.pipeline.resume,
        }
        length = self._length()
        if path == "/upload":
            return self._upload(query.get("name", [""])[0], length)
        if length > MAX_FORM_BYTES:
            self.close_connection = True
            raise InputError(f"a form has at most {MAX_FORM_BYTES:,} bytes: this one has {length:,}; reload the page")
        form = {name: values[0] for name, values in self._form(length).items()}
        if path in actions:
            actions[path]()
        elif path == "/settings":
            studio.choose(form)
        elif path == "/offer":
            uploads.check(form.get("name", ""), _whole(form.get("length", "")))
        elif path == "/run":
            studio.run(form.get("build", ""), simulated=form.get("where") != "board")
        else:
            return self._refuse(HTTPStatus.NOT_FOUND, "the Studio does no such thing; reload the page")
        self._json(studio.state())

    def _form(self, length: int) -> dict[str, list[str]]:
        try:
            return parse_qs(self.rfile.read(length).decode(), keep_blank_values=True, max_num_fields=100)
        except ValueError:
            raise InputError("a form is text: this one is not; reload the page") from None

    def _upload(self, name: str, length: int) -> None:
        """A file that is refused is read a little further, so that a browser that still sends it hears why."""
        body = _Body(self.rfile, length)
        try:
            self.server.studio.upload(name, length, body)
        except Exception as error:
            self.close_connection = True
            self._refuse(*_refusal(error))
            with contextlib.suppress(OSError):
                for _ in range(DRAINED_BLOCKS):
                    if not body.read(1 << 20):
                        break
            return
        self._json(self.server.studio.state())

    def _length(self) -> int:
        if self.headers.get("Transfer-Encoding"):
            raise InputError(_LENGTH)
        return _whole(self.headers.get("Content-Length", ""))

    # -- answers -----------------------------------------------------------------------------------------------

    def _html(self, text: str) -> None:
        self._send(HTTPStatus.OK, text.encode(), "text/html; charset=utf-8")

    def _json(self, data: Any) -> None:
        self._send(HTTPStatus.OK, json.dumps(data).encode(), "application/json")

    def _static(self, room: str, name: str) -> None:
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        self._send(HTTPStatus.OK, _file(room, name), f"{kind}; charset=utf-8", {"Cache-Control": "no-cache"})

    def _page(self, text: str, download: str | None) -> None:
        if download is not None:
            return self._download(text.encode(), download)
        self._html(text)

    def _download(self, content: bytes, name: str) -> None:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
        self._send(HTTPStatus.OK, content, kind, {"Content-Disposition": f'attachment; filename="{safe}"'})

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        if self.command == "POST" and not self.close_connection:
            self.close_connection = True  # its body was not read
        self._send(status, json.dumps({"problem": message}).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        } | (more or {})
        if self.close_connection:
            headers["Connection"] = "close"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _whole(text: str) -> int:
    """A length in bytes. Raises InputError."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InputError(_LENGTH)
    return int(text)


def _refusal(error: Exception) -> tuple[HTTPStatus, str]:
    """How an error is told."""
    mistake = isinstance(error, SpikeloomError)
    return HTTPStatus.CONFLICT if mistake else HTTPStatus.INTERNAL_SERVER_ERROR, one_line(explain(error)[1])


def _plain(headers: Message) -> dict[str, str]:
    """The headers that decide, each of which may be there once."""
    names = ("Host", "Origin", "Cookie")
    return {name: str(headers[name]) for name in names if len(headers.get_all(name, [])) == 1}


def _file(room: str, name: str) -> bytes:
    return files(f"spikeloom.compiler.{room}").joinpath(name).read_bytes()
