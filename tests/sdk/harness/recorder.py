"""A relay that keeps every byte of each connection: what callers got, and what the upstream was sent."""

import socket
import threading
from urllib.parse import urlsplit


class Recorder:
    """Listens on a free port of loopback and passes everything on to `url`, unchanged."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._requests: list[bytearray] = []
        self._answers: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def requests(self) -> list[bytes]:
        """What was sent, a value for each connection."""
        return [bytes(each) for each in list(self._requests)]

    @property
    def answers(self) -> list[bytes]:
        """What came back, a value for each connection."""
        return [bytes(each) for each in list(self._answers)]

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(self._target)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            there, back = bytearray(), bytearray()
            self._requests.append(there)
            self._answers.append(back)
            for source, sink, kept in ((near, far, there), (far, near, back)):
                threading.Thread(target=_pump, args=(source, sink, kept), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    try:
        while chunk := source.recv(65536):
            kept += chunk
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # Either side hung up; the other must see it too.
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
