"""A page on this machine's own address: for a browser that cannot open the file, as over an SSH tunnel.

Nobody else gets it: it listens on the loopback address alone, its address holds a random token, a request that names
another host is refused (a page of the web could otherwise have a browser ask for it under a name of its own), and
nothing is written or changed by any request.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageServer:
    """Serves one page until it is closed.

    Args:
        render: Gives the page as it is now; called for each request.
        port: 0 for any that is free.

    Raises:
        OSError: If the port is taken.
    """

    def __init__(self, render: Callable[[], str], port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        self._render = render
        self._server = ThreadingHTTPServer((LOOPBACK, port), self._handler())
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    @property
    def address(self) -> str:
        """What a browser is given."""
        return f"http://{LOOPBACK}:{self.port}/{self.token}/"

    def serve(self) -> None:
        """Answer until the process is interrupted."""
        self._server.serve_forever(poll_interval=0.2)

    def start(self) -> None:
        """Answer in a thread of its own."""
        threading.Thread(target=self.serve, daemon=True, name="page").start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            server_version, sys_version = "multitask", ""

            def do_GET(self) -> None:
                """Give the page to who knows its address."""
                self._answer(send=True)

            def do_HEAD(self) -> None:
                """As GET, without the page."""
                self._answer(send=False)

            def _answer(self, *, send: bool) -> None:
                hosts = [f"{name}:{page.port}" for name in (LOOPBACK, "localhost")]
                if self.headers.get("Host", "").lower() not in hosts:
                    self.send_error(403, "another host")
                    return
                if not hmac.compare_digest(self.path.strip("/").encode(), page.token.encode()):
                    self.send_error(404)
                    return
                body = page._render().encode("utf-8", "replace")
                self.send_response(200)
                for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if send:
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: the address would be in it."""

        return Handler
