"""Ends TLS in front of a PostgreSQL that has none, as a pooler does.

The embedded PostgreSQL is built without TLS. A client asks for TLS by eight bytes; the proxy
says yes, shows its certificate, and hands what it then reads to the server's own socket. What
is tested is the client's side: whether it verifies whom it speaks to.
"""

import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path
from threading import Thread

from sqlalchemy.engine import URL

_SSL_REQUEST = 80877103
_HEAD = struct.Struct("!II")
_CHUNK = 65536


class TlsProxy:
    """Listens on an address of loopback until it is closed; refuses whoever wants no TLS."""

    def __init__(self, server: URL, certificate: Path, key: Path, address: str) -> None:
        """Listen on a free port of `address`, with the certificate, for that server."""
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server((address, 0))
        self.port = int(self._listener.getsockname()[1])
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        # Whoever does not trust the certificate hangs up, and that is for the client to say.
        with plain, suppress(OSError):
            _, request = _HEAD.unpack(plain.recv(_HEAD.size, socket.MSG_WAITALL))
            if request != _SSL_REQUEST:
                return
            plain.sendall(b"S")
            client = self._context.wrap_socket(plain, server_side=True)
            with client, self._connect() as server:
                Thread(target=_copy, args=(server, client), daemon=True).start()
                _copy(client, server)

    def _connect(self) -> socket.socket:
        host = self._server.query.get("host") or self._server.host or "localhost"
        port = int(str(self._server.query.get("port") or self._server.port or 5432))
        if not str(host).startswith("/"):
            return socket.create_connection((str(host), port))
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{host}/.s.PGSQL.{port}")
        return connection


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(_CHUNK):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
