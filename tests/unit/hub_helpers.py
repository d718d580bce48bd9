"""A Hugging Face hub on this machine: one dataset of files, which can fail."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

DATASET = "made/up"
_RESOLVE = f"/datasets/{DATASET}/resolve/main/"


class Hub(ThreadingHTTPServer):
    """Serves `files`; cuts connections while `failing` is more than 0, which counts down with each."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files, self.failing, self.cut = files, 0, 0
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are none of the tests' business."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    """A hub that answers."""
    hub = Hub(files)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = urlparse(self.path).path.replace("%2F", "/")
        if path.startswith(_RESOLVE):
            self._file(self.server.files[path.removeprefix(_RESOLVE)])
        elif "/tree/main" in path:
            below = path.partition("/tree/main")[2].lstrip("/")
            self._json([_about(name, content) for name, content in self.server.files.items() if name.startswith(below)])
        else:
            self._json({"id": DATASET, "sha": "0" * 40, "siblings": [], "tags": [], "private": False, "downloads": 0})

    def _file(self, content: bytes) -> None:
        if self.server.failing:
            self.server.failing -= 1
            self.server.cut += 1
            self.close_connection = True
            return
        found = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        part = content[int(found[1]) : int(found[2]) + 1] if found else content
        self._send(206 if found else 200, part)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def _about(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
