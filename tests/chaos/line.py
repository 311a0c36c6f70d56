"""A line to a Postgres that can be cut at a commit: before the server hears of it, or after."""

import select
import shutil
import socket
import socketserver
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

from sqlalchemy.engine import make_url

SOCKET = ".s.PGSQL.5432"
BLOCK = 64 * 1024
BEFORE, AFTER = "before", "after"


class Line:
    """Pass on what is said both ways, until a commit that is to be cut; a new line is whole again.

    `cut_at` says which commit is cut next, counted from 1, and how: `{3: AFTER}`. `commits` counts
    those that passed through.
    """

    def __init__(self, url: str) -> None:
        """Take the address of a database whose server listens on a Unix socket."""
        address = make_url(url)
        self._target = f"{address.query['host']}/{SOCKET}"
        # A short path: the name of a Unix socket has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="line-"))
        self.url = address.update_query_dict({"host": str(self._folder)}).render_as_string(
            hide_password=False
        )
        self.cut_at: dict[int, str] = {}
        self.commits = 0
        self._lock = threading.Lock()
        self._server: socketserver.ThreadingUnixStreamServer | None = None

    def __enter__(self) -> Self:
        line = self

        class Caller(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                line._carry(self.request)

        self._server = socketserver.ThreadingUnixStreamServer(str(self._folder / SOCKET), Caller)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._folder)

    def _carry(self, caller: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(self._target)
            ends: dict[Any, socket.socket] = {caller: server, server: caller}
            while True:
                for end in select.select([*ends], [], [])[0]:
                    said = end.recv(BLOCK)
                    how = self._how(said) if end is caller else None
                    if not said or how == BEFORE:
                        return
                    ends[end].sendall(said)
                    if how == AFTER:
                        # It is done when the server says so, and nobody hears it.
                        server.recv(BLOCK)
                        return

    def _how(self, said: bytes) -> str | None:
        """Say how the line is cut by these words; None where it is not."""
        if b"COMMIT\0" not in said:
            return None
        with self._lock:
            self.commits += 1
            return self.cut_at.pop(self.commits, None)
