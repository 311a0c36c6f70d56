"""Read model calls back from the ledger as they were asked."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, TypeAlias

from swarm.core.chat import ModelRequest
from swarm.ledger.book import canonical, document_of

Request: TypeAlias = dict[str, Any]
_FRAME = ("schema_name", "schema", "tools")


def requests_of(rows: Iterable[Any]) -> dict[int, Request]:
    """Return the whole request of each row, by the row's id.

    A row holds only what its node's previous call did not have; all rows of a node are needed.

    Raises:
        ValueError: A request does not have the digest that its row names: the ledger was changed.
    """
    requests: dict[int, Request] = {}
    last: dict[tuple[str, str], Request] = {}
    for row in sorted(rows, key=lambda row: (row.order_id, row.node, row.seq, row.attempt)):
        stored = json.loads(row.prompt)
        previous = last.get((row.order_id, row.node), {})
        request = {
            "model": row.model,
            "messages": [*previous.get("messages", [])[: row.prompt_base], *stored["messages"]],
            "max_output_tokens": stored["max_output_tokens"],
            "temperature": stored["temperature"],
        }
        request |= {key: stored[key] if key in stored else previous.get(key) for key in _FRAME}
        if digest_of_document(request) != row.digest:
            raise ValueError(f"call {row.order_id}/{row.node}/{row.seq} is not what was asked")
        requests[row.id] = last[row.order_id, row.node] = request
    return requests


def request_of(request: ModelRequest) -> Request:
    """Return a request as `requests_of` would read it back."""
    document: Request = json.loads(canonical(request))
    return document | {"schema_name": request.schema_name}


def is_plainly(document: Request, request: ModelRequest) -> bool:
    """Say whether a document is what `request_of` returns, without writing that down.

    Where it says no, the two may still be the same: a tuple of the request is a list in JSON.
    """
    return document == document_of(request) | {"schema_name": request.schema_name}


def digest_of_document(request: Request) -> str:
    """Return the digest that the ledger names a request by."""
    told = {key: value for key, value in request.items() if key != "schema_name"}
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
