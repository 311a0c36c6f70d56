"""Read what happened in an order: from a company's books, or from a cassette."""

import json
from typing import Any

from swarm.app import App
from swarm.core.document import OrderDocument
from swarm.evals.cassette import Cassette
from swarm.evals.evidence import OrderEvidence, gather
from swarm.evals.explain import Past
from swarm.evals.timeline import read_body, steps_of, steps_of_cassette


def past_of_order(app: App, order_id: str) -> Past:
    """Read an order of a company; it may still be going on.

    Raises:
        NotFound: No such order.
    """
    return past_of_evidence(gather(app.store, app.documents.order(order_id), app.home))


def past_of_evidence(order: OrderEvidence, failed: tuple[tuple[str, str], ...] = ()) -> Past:
    """Read what an order left.

    Args:
        order: Its rows and files.
        failed: Checks that do not hold, with their details.
    """
    document = order.document
    return Past(
        order_id=document.id,
        status=document.status.value,
        text=document.text,
        language=document.language,
        answer=document.answer,
        reason_kind=document.reason.kind.value if document.reason else "",
        reason=document.reason.text if document.reason else "",
        steps=tuple(steps_of(order)),
        expected=_expected(document),
        files={file.path: file.task for file in document.artifacts},
        failed_checks=failed,
    )


def _expected(document: OrderDocument) -> dict[str, str]:
    return {task.id: task.deliverable for task in document.plan.tasks} if document.plan else {}


def past_of_cassette(cassette: Cassette) -> Past:
    """Read what a cassette recorded; in older ones it does not stand why an order stopped."""
    manifest, provenance = cassette.manifest, cassette.manifest.provenance
    steps = steps_of_cassette(cassette)
    return Past(
        order_id=str(manifest.order.get("id", "")),
        status=manifest.status,
        text=str(manifest.order.get("text", "")),
        language=_document(cassette, "frame").get("language"),
        answer=_document(cassette, "deliver").get("answer"),
        reason_kind=manifest.reason.kind if manifest.reason else "",
        reason=manifest.reason.text if manifest.reason else "",
        steps=tuple(steps),
        expected=_planned(_document(cassette, "plan")),
        files=_delivered(cassette),
        provenance=f"{provenance.kind}{f' by {provenance.by}' if provenance.by else ''}",
    )


def _document(cassette: Cassette, head: str) -> dict[str, Any]:
    """Return the last decision of a kind that a model took, read leniently."""
    for entry in reversed(cassette.lane("model")):
        _, _, rest = str(entry["lane_of"]).partition(" ")
        if rest.startswith(f"{head}/") and entry.get("answer"):
            text, _, fault = read_body(entry["answer"])
            try:
                found = json.loads(text)
            except ValueError:
                continue
            if isinstance(found, dict) and not fault:
                return found
    return {}


def _planned(document: dict[str, Any]) -> dict[str, str]:
    tasks = document.get("tasks")
    if not isinstance(tasks, list):
        return {}
    return {
        f"t{number}": str(task.get("deliverable", ""))
        for number, task in enumerate(tasks, start=1)
        if isinstance(task, dict)
    }


def _delivered(cassette: Cassette) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in cassette.lane("tool"):
        for path in entry["result"].get("delivered") or ():
            found[str(path)] = str(entry["node"]).partition("/")[0]
    # Words that became a file were delivered by no tool.
    return {**{str(e["path"]): "" for e in cassette.lane("file")}, **found}
