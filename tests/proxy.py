"""A small TCP proxy before a test's server: a wire that can be cut, or fall silent."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from mig_kit.postgres import ConnectionInfo

__all__ = ["Proxy", "proxied"]


class Proxy:
    """Pass bytes on to a server until told otherwise; ``info`` goes through it."""

    def __init__(self, info: ConnectionInfo) -> None:
        self._upstream = (info.host, info.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.info = replace(info, host="127.0.0.1", port=self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._frozen = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection that goes through; new ones are made again."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Pass nothing on any more and close nothing: as when a cable was pulled."""
        self._frozen.set()

    def thaw(self) -> None:
        """Pass on again."""
        self._frozen.clear()

    def close(self) -> None:
        """Cut, and take no new connections."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
            except OSError:
                return
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
            for end in other:
                selector.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    given = end.recv(65536)
                    while self._frozen.is_set():
                        self._frozen.wait(0.05)
                        if client.fileno() < 0:
                            return
                    if not given:
                        raise OSError
                    other[end].sendall(given)
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.close()


@contextmanager
def proxied(info: ConnectionInfo) -> Iterator[Proxy]:
    """Give a proxy before a server, closed at the end."""
    proxy = Proxy(info)
    try:
        yield proxy
    finally:
        proxy.close()
