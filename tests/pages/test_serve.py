"""A page on the loopback address: who gets it, and that nobody else does."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from multitask.pages.serve import PageServer


@pytest.fixture
def server() -> Iterator[PageServer]:
    made = PageServer(lambda: "<p>é</p>")
    made.start()
    yield made
    made.close()


def ask(server: PageServer, path: str, method: str = "GET", host: str | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.port}")
    connection.endheaders()
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    answer.close()
    connection.close()
    return answer


def test_who_has_the_address_gets_the_page(server):
    answer = ask(server, server.address.partition(str(server.port))[2])
    assert (answer.status, answer.body.decode()) == (200, "<p>é</p>")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert ask(server, f"/{server.token}", "HEAD").body == b""
    assert ask(server, f"/{server.token}/", host=f"localhost:{server.port}").status == 200


@pytest.mark.parametrize(
    ("path", "method", "host", "status"),
    [
        ("/", "GET", None, 404),
        ("/wrong/", "GET", None, 404),
        ("/{token}/../etc", "GET", None, 404),
        ("/%C3%A9", "GET", None, 404),
        ("/{token}/", "GET", "evil.example", 403),
        ("/{token}/", "GET", "evil.example:{port}", 403),
        ("/{token}/", "POST", None, 501),
        ("/{token}/", "PUT", None, 501),
        ("/{token}/", "DELETE", None, 501),
    ],
)
def test_nobody_else_does_and_nothing_is_written(server, path, method, host, status):
    path = path.format(token=server.token)
    answer = ask(server, path, method, host and host.format(port=server.port))
    assert answer.status == status
    assert "é" not in answer.body.decode()


def test_it_listens_on_the_loopback_address_alone(server):
    assert server._server.server_address[0] == "127.0.0.1"
    other = PageServer(lambda: "")
    other._server.server_close()
    assert other.token != server.token
