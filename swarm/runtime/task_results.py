"""What a task leaves in the database: its deliverables, and the questions it waits for."""

import json
import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.core.errors import ToolError
from swarm.core.lane import LANE, lane_of
from swarm.core.order import PlannedTask
from swarm.core.text import clean_text
from swarm.org import briefs
from swarm.runtime.company import Company
from swarm.store.prepared import Prepared
from swarm.store.tables import artifacts, asks
from swarm.tools.workspace import FileFacts, facts, reading

# Written once: building a statement costs more than running it.
_DROP_ARTIFACT = Prepared(
    artifacts.delete().where(
        artifacts.c.order_id == sa.bindparam("of_order"),
        artifacts.c.path == sa.bindparam("of_path"),
    )
)
_ADD_ARTIFACT = Prepared(artifacts.insert())


def shown(workspace: Path, files: tuple[str, ...]) -> list[str]:
    """Return the deliverables as a reviewer reads them, each cut at a length."""
    shown = []
    for path in files:
        try:
            with reading(workspace, path) as descriptor:
                data = os.read(descriptor, briefs.DELIVERABLE_BYTES + 1)
        except ToolError as error:
            shown.append(f"### {path}\n(cannot be read: {error})")
            continue
        text = clean_text(data[: briefs.DELIVERABLE_BYTES].decode(errors="replace"))
        cut = "\n… (cut here)" if len(data) > briefs.DELIVERABLE_BYTES else ""
        shown.append(f"### {path}\n{text}{cut}")
    return shown


def facts_of(workspace: Path, files: tuple[str, ...]) -> list[FileFacts]:
    """Return what is known of each deliverable that is still there."""
    found = []
    for path in files:
        try:
            found.append(facts(workspace, path))
        except ToolError:
            continue  # Deleted since; what is not there is no deliverable.
    return found


def write_artifacts(
    connection: Connection, order_id: str, task: PlannedTask, found: list[FileFacts], *, at: str
) -> None:
    """Put the deliverables of a task on its order; one of the same path takes the place of another."""
    for file in found:
        key = {"of_order": order_id, "of_path": file.path}
        _DROP_ARTIFACT.run(connection, key)
        _ADD_ARTIFACT.run(
            connection,
            {
                "order_id": order_id,
                "path": file.path,
                "sha256": file.sha256,
                "bytes": file.bytes,
                "role": task.role,
                "task_id": task.id,
                "created_at": at,
            },
        )


def write_ask(
    connection: Connection, company: Company, *, order_id: str, node: str, seq: int, **values: Any
) -> str:
    """Store an ask once per place and return its id; an open one there is kept."""
    key = (asks.c.order_id == order_id, asks.c.node == node, asks.c.seq == seq)
    known = connection.execute(sa.select(asks.c.id).where(*key)).scalar()
    if known is not None:
        connection.execute(
            asks.update()
            .where(asks.c.id == known)
            .values(state="open", segment=values["segment"], text=values["text"], shown_at=None)
        )
        return str(known)
    options = values.pop("options")
    # Drawn in a lane of its own, by which a replay finds the id that this very ask had.
    lane = LANE.set(lane_of(order_id, node, seq))
    ask_id = company.ids.new("q")
    LANE.reset(lane)
    connection.execute(
        asks.insert().values(
            id=ask_id,
            order_id=order_id,
            node=node,
            seq=seq,
            state="open",
            options=_json(options),
            created_at=iso(company.clock.now()),
            **values,
        )
    )
    return ask_id


def _json(options: list[str]) -> str:
    return json.dumps(options, ensure_ascii=False)
