"""Measure the audit chain: what a row costs its caller, and how fast a chain is checked."""

import json
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from swarm.core.clock import SystemClock
from swarm.store import schema
from swarm.store.audit import AuditChain, verify
from swarm.store.audit_key import AuditKey
from swarm.store.database import Store, sqlite_url

BATCH, BATCHES = 500, 8
# As large as a usual effect: a tool's name, its arguments, the decision and its rule.
BODY: dict[str, object] = {
    "tool": "files.write",
    "arguments": {"path": "site/index.html", "sha256": "9f" * 32, "bytes": 18_234},
    "decision": "allow",
    "rule": "role cto: files.*",
    "node": "task:build",
    "seq": 7,
    "position": 0,
    "cost": "0.00021",
}


def append(store: Store, chain: AuditChain, rows: int) -> float:
    """Append rows in one transaction and return the CPU of one, in ms."""

    def work(connection: Any) -> float:
        start = time.process_time()
        for _ in range(rows):
            chain.append(
                connection,
                kind="effect",
                order_id="o2345678",
                actor="cto",
                initiator="console:1000",
                approver=None,
                body=BODY,
            )
        return (time.process_time() - start) / rows * 1e3

    return store.write(work)


def measure() -> dict[str, float]:
    """Return the CPU of one appended row, its share of a head included, and rows checked a second."""
    key = AuditKey(secrets.token_bytes(32))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(sqlite_url(Path(folder) / "swarm.db"))
        try:
            schema.upgrade(store)
            signing = AuditChain(clock=SystemClock(), key=key)
            append(store, signing, BATCH)
            # The least of several: the rest is what other programs did meanwhile.
            cpu_ms = min(append(store, signing, BATCH) for _ in range(BATCHES))
            start = time.process_time()
            report = store.read(lambda c: verify(c, public_keys=[key.public_key]))
            seconds = time.process_time() - start
        finally:
            store.close()
    assert report.is_whole, report.why
    return {
        "audit_append_cpu_ms": round(cpu_ms, 3),
        "audit_verify_rows_per_s": round(report.rows / seconds),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
