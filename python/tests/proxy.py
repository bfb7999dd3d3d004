"""A wire to a node that can be cut."""

from __future__ import annotations

import socket
import threading
from typing import List, Tuple


class Proxy:
    """Passes on what comes; `cut` breaks all that is open, and new connections are taken at once."""

    def __init__(self, target: str) -> None:
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: List[Tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self.taken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Breaks every connection, in the middle of whatever is on it."""
        with self._lock:
            pairs, self._open = self._open, []
        for pair in pairs:
            for side in pair:
                try:
                    side.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self) -> None:
        """Ends it."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                node = socket.create_connection(self._target)
            except OSError:
                return
            self.taken += 1
            with self._lock:
                self._open.append((client, node))
            for ends in ((client, node), (node, client)):
                threading.Thread(target=self._copy, args=ends, daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                target.sendall(data)
        except OSError:
            pass
        for side in (source, target):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
