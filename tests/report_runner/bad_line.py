"""A line to a server that takes its time and loses answers."""

import contextlib
import socket
import threading
import time
from types import TracebackType

_BLOCK = 65536


class BadLine:
    """Forwards connections to a local port; each answer comes late, and some never do."""

    def __init__(self, port: int, seconds: float, breaks_every: int) -> None:
        """Hold each answer back for `seconds`; end the line instead of every so many answers."""
        self._target, self._seconds, self._breaks_every = port, seconds, breaks_every
        self._answers, self.broken = 0, 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> "BadLine":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                for source, sink, is_answer in ((client, server, False), (server, client, True)):
                    threading.Thread(
                        target=self._forward, args=(source, sink, is_answer), daemon=True
                    ).start()

    def _forward(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError), source, sink:
            while block := source.recv(_BLOCK):
                if is_answer:
                    time.sleep(self._seconds)
                    if self._is_lost():
                        source.shutdown(socket.SHUT_RDWR)
                        sink.shutdown(socket.SHUT_RDWR)
                        return
                sink.sendall(block)

    def _is_lost(self) -> bool:
        with self._lock:
            self._answers += 1
            is_lost = self._answers % self._breaks_every == 0
            self.broken += is_lost
            return is_lost
