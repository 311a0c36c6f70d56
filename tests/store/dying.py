"""A program whose parts are killed while they append: `python -m tests.store.dying FOLDER`."""

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from swarm.store.audit import AuditChain
from swarm.store.audit_key import AuditKey
from swarm.store.database import Store, sqlite_url
from tests.store.chains import Ticking, record

ROWS = 8
"""Committed before the end, in one transaction each."""
EVERY = 3


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class LastLook(Ticking):
    """A clock that kills its program at a look: after the last row was read, before the next."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    def now(self) -> datetime:
        self._left -= 1
        if self._left < 0:
            die()
        return super().now()


class LastSignature(AuditKey):
    """A key that kills its program when it signs: the row is inserted, its head is not."""

    def __init__(self, signatures: int) -> None:
        super().__init__(bytes(range(32)))
        self._signatures = signatures

    def sign(self, message: bytes) -> bytes:
        self._signatures -= 1
        if self._signatures < 0:
            die()
        return super().sign(message)


WHERE: dict[str, Callable[[], AuditChain]] = {
    "before the insert": lambda: AuditChain(
        clock=LastLook(ROWS), key=LastSignature(9), every=EVERY
    ),
    "before the head": lambda: AuditChain(clock=Ticking(), key=LastSignature(2), every=EVERY),
    "before the commit": lambda: AuditChain(clock=Ticking(), key=LastSignature(9), every=EVERY),
}


def append_and_die(url: str, where: str) -> None:
    """Append, a transaction a row, until killed in the transaction after the last."""
    store, chain = Store(url), WHERE[where]()
    for number in range(ROWS):
        store.write(partial(record, chain, number=number))
    with store.engine.begin() as connection:
        record(chain, connection, ROWS)
        die()


def main(folder: Path) -> None:
    """Let one process die in each way, on a database of its name; print what ended them."""
    ends = {}
    for where in WHERE:
        if (pid := os.fork()) == 0:
            append_and_die(sqlite_url(folder / f"{where}.db"), where)
        ends[where] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
