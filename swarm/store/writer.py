"""The one thread that writes to a SQLite file for all coroutines, in grouped commits."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from typing import Any, TypeAlias, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from swarm.store.lanes import Lanes
from swarm.store.turns import Turns

T = TypeVar("T")
Unit: TypeAlias = tuple[Callable[[Connection], Any], Future[Any]]

GROUP_SIZE = 64
"""Most units of work in one commit: one disk flush then serves them all."""
GROUP_S = 0.03
"""For how long units are added to a commit, in seconds: whoever is first in it waits for the last."""


class Writer:
    """Commit units of work in groups, each unit in its own savepoint.

    Units stay atomic, and a hundred orders in flight share a disk flush. The thread starts with the
    first unit and ends with `close`.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        begin: Callable[[Connection], None],
        explain: Callable[[BaseException], BaseException],
        turns: Turns | None = None,
    ) -> None:
        """Take what to write with.

        Args:
            engine: Gives the one connection.
            begin: Takes the write lock.
            explain: Turns the failure of a whole group into what its waiters are told.
            turns: Puts the writers of several processes in line; None where there is one.
        """
        self._turns = turns
        self._engine = engine
        self._begin = begin
        self._explain = explain
        self._lanes: Lanes[Unit] = Lanes()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, work: Callable[[Connection], T], *, is_urgent: bool = False) -> "Future[T]":
        """Queue a unit; what is urgent goes before all else that waits.

        A commit that holds something urgent takes in nothing more that is not.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._thread is None:
                self._lanes = Lanes()
                self._thread = threading.Thread(
                    target=self._run, args=(self._lanes,), name="swarm-writer", daemon=True
                )
                self._thread.start()
            self._lanes.put((work, future), is_urgent=is_urgent)
            if is_urgent and self._turns is not None:
                self._turns.press()
        return future

    def close(self) -> None:
        """Finish what was queued and end the thread; a later unit starts it again."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._lanes.end()
        if thread is not None:
            thread.join()

    def _run(self, lanes: Lanes[Unit]) -> None:
        connection: Connection | None = None
        while (first := lanes.wait()) is not None:
            group = [first]
            try:
                # Kept open between groups: taking one from the pool costs as much as a write.
                connection = connection or self._engine.connect()
                results = self._commit(connection, group, lanes)
            except BaseException as error:  # noqa: BLE001  # every waiter must hear of it
                if connection is not None:
                    connection.invalidate()
                    connection = None
                shown = self._explain(error)
                for _, future in group:
                    if not future.done():
                        future.set_exception(shown)
            else:
                for future, result in results:
                    future.set_result(result)
        if connection is not None:
            connection.close()
        if self._turns is not None:
            self._turns.close()

    def _commit(
        self, connection: Connection, group: list[Unit], lanes: Lanes[Unit]
    ) -> list[tuple[Future[Any], Any]]:
        """Commit units together, beginning with the first of `group`, which takes in the others."""
        results: list[tuple[Future[Any], Any]] = []
        unit: Unit | None = group[0]
        turn = nullcontext() if self._turns is None else self._turns.mine()
        with turn, connection.begin():
            self._begin(connection)
            until, is_pressing = time.monotonic() + GROUP_S, False
            while unit is not None:
                _run_unit(connection, unit, results)
                is_pressing = is_pressing or self._is_pressing(lanes, until)
                unit = None
                if len(group) < GROUP_SIZE:
                    unit = lanes.take_urgent() if is_pressing else lanes.take()
                if unit is not None:
                    group.append(unit)
        return results

    def _is_pressing(self, lanes: Lanes[Unit], until: float) -> bool:
        if lanes.has_urgent or time.monotonic() > until:
            return True
        return self._turns is not None and self._turns.is_pressed


def _run_unit(connection: Connection, unit: Unit, results: list[tuple[Future[Any], Any]]) -> None:
    """Run one unit in a savepoint of its own; one that fails is undone alone and its waiter told."""
    work, future = unit
    if not future.set_running_or_notify_cancel():
        return
    connection.exec_driver_sql("SAVEPOINT unit")
    try:
        results.append((future, work(connection)))
    except OperationalError:
        # The disk or the file failed: the whole group is undone.
        raise
    except Exception as error:  # noqa: BLE001  # one unit's fault is its own
        connection.exec_driver_sql("ROLLBACK TO unit")
        future.set_exception(error)
    connection.exec_driver_sql("RELEASE unit")
