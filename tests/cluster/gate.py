"""A port in front of a server that can be shut for a while: storage that fails and comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlparse


class Gate:
    """Passes connections on; while shut it refuses new ones and cuts those that are open."""

    def __init__(self, server: str) -> None:
        """Args:
        server: http address of the server.
        """
        parsed = urlparse(server)
        self._server = (str(parsed.hostname), int(parsed.port or 80))
        self._open = True
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Begin to fail."""
        self._open = False
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Work again."""
        self._open = True

    def close(self) -> None:
        """End for good."""
        self.shut()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self._open:
                    self.refused += 1
                    client.close()
                    continue
                server = socket.create_connection(self._server)
                self._connections += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
