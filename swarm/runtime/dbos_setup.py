"""How DBOS is kept quiet, and what it writes of arguments and results."""

import json
import logging
from functools import cache
from typing import Any


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
