"""How DBOS is set up and kept quiet, and what it writes of arguments and results."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.exc import DBAPIError

from swarm.core.errors import Unavailable
from swarm.store import companies, postgres
from swarm.store.database import Store
from swarm.store.refusals import Barred

if TYPE_CHECKING:
    from dbos import DBOSConfig

log = structlog.get_logger("swarm.engine")

AGAIN_S = 1.0
"""How long to wait before a launch is tried again, in seconds."""
THREADS = 16
"""Most threads of DBOS, which are also those of our own calls beside the loop. Without a bound each
order that begins adds some, and each keeps memory of its own for good."""


def config_of(store: Store, *, executor_id: str, version: str) -> "DBOSConfig":
    """Return what DBOS is launched with.

    Args:
        store: The database it shares with us.
        executor_id: Whose work is taken up again.
        version: Of the work that this process can do.
    """
    return {
        "name": "swarm",
        "system_database_engine": store.engine,
        # SQLite knows no schemas, and takes no notice.
        "dbos_system_schema": companies.engine_schema(store.company),
        "executor_id": executor_id,
        "application_version": version,
        "serializer": json_serializer(),
        "log_level": "CRITICAL",
        "enable_otlp": False,
        "max_executor_threads": THREADS,
        # A shared database is changed by a job of its own, never by a worker.
        "run_migrations": store.is_sqlite,
    }


async def when_possible(
    launch: Callable[[], Awaitable[None]], undo: Callable[[], Awaitable[None]], *, store: Store
) -> None:
    """Launch; a server that was reached, and has no connection to spare, is waited for.

    Args:
        launch: Launches DBOS.
        undo: Clears up a launch, however far it came.
        store: The database it shares with us.

    Raises:
        ConfigError: The server lets nobody in until somebody acts.
    """
    while True:
        try:
            return await launch()
        except DBAPIError as error:
            if store.is_sqlite:
                raise
            meant = postgres.explained(error, store.engine.url)
            if not isinstance(meant, Unavailable) or isinstance(meant, Barred):
                raise meant from error
            log.warning("waiting for the database", reason=str(meant), seconds=AGAIN_S)
        await undo()
        await asyncio.sleep(AGAIN_S)


@cache
def json_serializer() -> Any:
    """Return a serializer of plain JSON: a pickle in a database is code for whoever can write it."""
    from dbos import Serializer

    class JsonSerializer(Serializer):
        def serialize(self, data: Any) -> str:
            if isinstance(data, BaseException):
                return json.dumps({"error": f"{type(data).__name__}: {data}"})
            return json.dumps(data)

        def deserialize(self, serialized_data: str) -> Any:
            data = json.loads(serialized_data)
            if isinstance(data, dict) and set(data) == {"error"}:
                return RuntimeError(data["error"])
            return data

        def name(self) -> str:
            return "swarm_json"

    return JsonSerializer()


def silence() -> None:
    """Keep the log of DBOS silent: what matters of it, we say ourselves."""
    # One of its start-up lines advertises a hosted console, and it would write to stderr itself.
    logger = logging.getLogger("dbos")
    logger.setLevel(logging.CRITICAL)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
