"""A request too long for a message goes out whole, as a file."""

import json
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from swarm.core.message import InboundMessage
from swarm.core.order import OrderStatus
from swarm.store.tables import outbox
from tests.acceptance.at_work import first, kind_of, script, task
from tests.acceptance.conftest import Open
from tests.servers.replies import Body, completion

CONTENT = "x" * 5_000 + "\u202eevil\n" + "the end of it"


async def test_nobody_is_asked_to_sign_what_was_cut(opened: Open) -> None:
    def write(request: Body) -> Body | None:
        if kind_of(request) != "work":
            return None
        words = {"path": "page.md", "content": CONTENT}
        return completion(tool_calls=[("write_file", words)], model="gpt-4o-mini")

    provider = first(write, script((task("Write it", "cto"),)))
    rules = "[{tool: write_file, decision: ask}]"
    async with opened(provider, policy__rules=rules) as company:
        message = InboundMessage(
            channel="console", account="a", update_id="u1", chat_id="c", thread_id=None,
            sender_id="1000", text="Write a page.", received_at=datetime.now(UTC),
        )  # fmt: skip
        waiting = await company.halt(company.app.intake.place(message))
        (ask,) = company.app.office.inbox(waiting.id)
        query = sa.select(outbox).where(outbox.c.order_id == waiting.id)
        (row,) = company.app.store.read(lambda c: c.execute(query).all())
    assert waiting.status is OrderStatus.WAITING
    (file,) = map(Path, json.loads(row.files))
    whole = file.read_text(encoding="utf-8")
    assert "x" * 5_000 in whole
    assert "the end of it" in whole
    assert "\\u{202e}evil" in whole
    assert ask.digest is not None
    assert ask.digest in whole
    assert file.name in row.body
    assert len(row.body) < 2_000
