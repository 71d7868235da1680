"""A Hub on the loopback address: repositories in memory, as far as huggingface_hub asks for them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit


class Repositories(ThreadingHTTPServer):
    """`files[kind][name]` is {path: bytes}; `seen` what was asked; `refuses` a status for every write."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, dict[str, bytes]]] = {"models": {}, "datasets": {}}
        self.made: list[dict[str, Any]] = []
        self.commits: list[str] = []
        self.refuses = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def repositories() -> Iterator[Repositories]:
    server = Repositories()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Repositories
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _send(self, value: Any = None, *, status: int = 200, body: bytes | None = None, **headers: str) -> None:
        data = json.dumps(value).encode() if body is None else body
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _place(self) -> tuple[str, str, list[str]]:
        """(kind, ORG/NAME, what follows) of a path of the API or of a file."""
        parts = [unquote(p) for p in urlsplit(self.path).path.strip("/").split("/")]
        if parts[0] == "api":
            return parts[1], "/".join(parts[2:4]), parts[4:]
        kind = parts.pop(0) if parts[0] == "datasets" else "models"
        return kind, "/".join(parts[:2]), parts[2:]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.refuses:
            self._send({"error": "no"}, status=self.server.refuses)
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            kind = f"{asked.get('type', 'model')}s"
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.server.made.append(asked)
            self.server.files[kind].setdefault(name, {".gitattributes": b""})
            prefix = "datasets/" if kind == "datasets" else ""
            self._send({"url": f"{self.server.address}/{prefix}{name}"})
        elif self.path.startswith("/api/validate-yaml"):
            self._send({"errors": [], "warnings": []})
        else:
            kind, name, rest = self._place()
            files = self.server.files[kind][name]
            if rest[0] == "preupload":
                asked = json.loads(body)["files"]
                modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
                self._send({"files": modes})
            else:
                for line in map(json.loads, body.decode().splitlines()):
                    value = line["value"]
                    if line["key"] == "header":
                        self.server.commits.append(value["summary"])
                    elif line["key"] == "file":
                        files[value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "deletedFile":
                        del files[value["path"]]
                self._send({"commitUrl": f"{self.server.address}/{name}/commit/{'a' * 40}", "commitOid": "a" * 40})

    def do_GET(self) -> None:
        kind, name, rest = self._place()
        files = self.server.files.get(kind, {}).get(name)  # it is asked for other things, too
        if files is None:
            self._send({"error": "none"}, status=404, X_Error_Code="RepoNotFound")
        elif self.path.startswith("/api/") and rest[:1] == ["tree"]:
            self._send([{"type": "file", "path": p, "size": len(b), "oid": "0" * 40} for p, b in files.items()])
        elif self.path.startswith("/api/"):
            self._send({"id": name, "sha": "a" * 40, "siblings": [{"rfilename": path} for path in files]})
        else:
            body = files["/".join(rest[2:])]
            tag = hashlib.sha256(body).hexdigest()
            self._send(body=body, ETag=f'"{tag}"', X_Repo_Commit="a" * 40)

    do_HEAD = do_GET
