"""The explorer's server: on this machine alone, for whoever knows the token in the address.

Pages of other origins can make a browser send requests here. They do not know the token, their
`Origin` is theirs, and a name that they point at 127.0.0.1 stands in `Host`: each is refused before
anything of a request is read. Nothing that is sent is executed.
"""

import hmac
import json
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..errors import ComputationFailed, InvalidInput, brief
from .answers import Answers, Newest, scene_of_text
from .page import page
from .scene import Scene

LONGEST = 10_000  # bytes of a question
PATIENCE = 20  # seconds that a connection may stay silent
MOST = 20  # losses that are remembered; the oldest typed one is forgotten


class Explored:
    """The losses that a server shows: the first, and those that were typed, by their numbers."""

    def __init__(self, scene: Scene):
        self._shown: dict[int, tuple[str, Answers]] = {0: (page(scene, "server"), Answers(scene))}
        self._lock, self._next, self._newest = threading.Lock(), 1, Newest()

    def page(self, number: int) -> str | None:
        """The text of a page; None where there is none."""
        return self._shown[number][0] if number in self._shown else None

    def answer(self, number: int, what: str, given: Any) -> dict[str, Any]:
        """The answer to a question of a page."""
        if number not in self._shown:
            raise InvalidInput("this page has been forgotten: go back to the first.")
        answers = self._shown[number][1]
        if what != "formula":
            return answers.answer(what, given)
        if not isinstance(given, dict):
            raise InvalidInput("a question has named parts.")
        with self._newest.of(given.get("page")):
            scene = scene_of_text(given.get("text"), given.get("box"), answers.scene)
            shown = page(scene, "server"), Answers(scene)
        with self._lock:
            made, self._next = self._next, self._next + 1
            self._shown[made] = shown
            typed = [number for number in self._shown if number]
            for old in typed[:-MOST]:
                del self._shown[old]
        return {"page": f"../{made}/"}


class Server(ThreadingHTTPServer):
    """Serves a scene at `address` from the moment it is made until `close`."""

    daemon_threads = True

    def __init__(self, scene: Scene, port: int = 0):
        self.explored, self.token = Explored(scene), secrets.token_urlsafe(24)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise InvalidInput(f"port {port} cannot be used: {error.strerror}.") from None
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}
        self.address = f"http://127.0.0.1:{self.server_port}/{self.token}/0/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Serve no more."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no fault."""


ONCE = ("Host", "Origin", "Content-Length", "Sec-Fetch-Site")


class _Refused(Exception):
    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version, timeout = "HTTP/1.1", PATIENCE
    server_version, sys_version = "samdyn", ""

    def do_GET(self) -> None:
        self._serve(self._page)

    def do_POST(self) -> None:
        self._serve(self._answer)

    def _serve(self, work: Any) -> None:
        try:
            self._check()
            kind, body = work()
            self._send(200, kind, body)
        except _Refused as refusal:
            self.close_connection = True  # whatever else it wanted to send is not read
            self._send(refusal.status, "application/json", _json({"error": str(refusal)}))

    def _check(self) -> None:
        """Who asks, before anything is read."""
        own = {f"http://{host}" for host in self.server.hosts}
        if any(len(self.headers.get_all(name, [])) > 1 for name in ONCE):
            raise _Refused(400, "a header stands there twice")
        if self.headers.get("Host") not in self.server.hosts:
            raise _Refused(403, "this server answers as 127.0.0.1 alone")
        if self.headers.get("Origin") not in {None, *own}:
            raise _Refused(403, "other origins are not answered")
        if self.headers.get("Sec-Fetch-Site") not in {None, "none", "same-origin"}:
            raise _Refused(403, "other sites are not answered")
        token = self.path.split("/")[1] if self.path.count("/") else ""
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise _Refused(403, "the address lacks its token: take the one that was printed")

    def _place(self) -> tuple[int, list[str]]:
        """The number of the page, and what follows it in the address."""
        number, *rest = self.path.split("?")[0].split("/")[2:] or [""]
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            raise _Refused(404, "there is nothing here")
        return int(number), rest

    def _page(self) -> tuple[str, bytes]:
        number, rest = self._place()
        text = self.server.explored.page(number) if rest == [""] else None
        if text is None:
            raise _Refused(404, "there is nothing here")
        return "text/html; charset=utf-8", text.encode()

    def _answer(self) -> tuple[str, bytes]:
        number, rest = self._place()
        if len(rest) != 2 or rest[0] != "ask":
            raise _Refused(404, "there is nothing here")
        given = self._read()
        try:
            found = self.server.explored.answer(number, rest[1], given)
        except (InvalidInput, ComputationFailed) as error:
            found = {"error": str(error)}
        except Exception as error:  # of somebody's loss, say: the server goes on
            raise _Refused(500, f"that failed: {brief(error)}") from error
        return "application/json", _json(found)

    def _read(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise _Refused(411, "a question has a length")
        if len(length) > 9 or int(length) > LONGEST:
            raise _Refused(413, f"a question has {LONGEST:,d} bytes at most")
        if self.headers.get_content_type() != "application/json":
            raise _Refused(415, "a question is JSON")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise _Refused(400, "this is no JSON") from None

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Frame-Options": "SAMEORIGIN",
        }.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no HTTP, or asks for neither a page nor an answer."""
        self.close_connection = True
        why = message or HTTPStatus(code).phrase
        self._send(code, "application/json", _json({"error": why.lower()}))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written: the address holds the token."""


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
