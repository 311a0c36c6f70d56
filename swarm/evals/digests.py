"""Names for requests and for whole ledgers, the same wherever they are computed."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from swarm.core.money import from_pico, plain
from swarm.core.usage import Usage
from swarm.ledger.book import FAILED, USED

_FACTS = (
    "node", "seq", "task_id", "role", "model", "answered_model", "digest", "state",
    "input_tokens", "cache_read_tokens", "cache_write_tokens",
    "cache_write_1h_tokens", "audio_tokens", "tool_tokens", "output_tokens", "reasoning_tokens",
    "cost_pico", "currency", "cost_status", "price_id", "provider", "service_tier",
    "listed_pico", "listed_currency", "latency_s", "error_kind", "error_text",
)  # fmt: skip


_DOCUMENTS = ("answer", "raw_usage", "parts")


def request_key(digest: str, salt: str) -> str:
    """Return the key under which a request is recorded, from the ledger's digest of it."""
    return hashlib.sha256(f"{salt}:{digest}".encode()).hexdigest()


def row_digest(row: Any) -> str:
    """Return the SHA-256 over what one attempt was, used and cost."""
    facts = [getattr(row, name) for name in _FACTS]
    # When a failed attempt ended is noted by the thread that stores it, not by the task that asked.
    facts.append(row.ended_at if row.state == USED else None)
    # A cassette's lines have their keys sorted, so the order of keys is no fact.
    documents = [json.loads(getattr(row, name) or "null") for name in _DOCUMENTS]
    text = json.dumps([*facts, *documents], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def ledger_digest(
    rows: Iterable[Any],
    *,
    states: Sequence[str] = (USED, FAILED),
    digest: Callable[[Any], str] = row_digest,
) -> str:
    """Return the SHA-256 over what an order's calls were, used and cost.

    When a call began and the numbers of rows are left out; attempts that were cut off or overtaken
    too, as a replay has none. `digest` is `row_digest`, or one that remembers what it returned.
    """
    by_place = sorted(rows, key=lambda row: (row.node, row.seq, row.attempt))
    lines = [digest(row) for row in by_place if row.state in states]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def used_digest(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return the SHA-256 that a ledger has over its answered calls alone, from recorded ones."""

    def place(entry: Mapping[str, Any]) -> tuple[str, int]:
        node, _, seq = entry["lane_of"].partition(" ")[2].rpartition(" ")
        return node, int(seq)

    used = sorted((entry for entry in entries if "answer" in entry), key=place)
    lines = [entry["ledger_sha256"] for entry in used]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def readable_charge(row: Any) -> dict[str, Any]:
    """Return what the books say that an attempt cost, as a cassette has it."""
    return {
        "cost": plain(from_pico(row.cost_pico)),
        "currency": row.currency,
        "status": row.cost_status,
        "price_id": row.price_id,
        "provider": row.provider,
        "tier": row.service_tier,
    }


def readable_usage(row: Any) -> dict[str, int] | None:
    """Return what an attempt used, by bucket; None where nobody knows."""
    if row.input_tokens is None:
        return None
    return {name: getattr(row, name) or 0 for name in Usage.__dataclass_fields__}
