"""What had begun when the machine died is told to the founder, once."""

from pathlib import Path

import sqlalchemy as sa

from swarm.core.clock import iso
from swarm.store.tables import effects, outbox
from tests.acceptance.at_work import provider_of
from tests.channels.telegram.chats import Chatting, chatting


async def test_a_call_that_was_begun_when_the_machine_died_is_told_once_and_never_made_again(
    tmp_path: Path,
) -> None:
    async with chatting(tmp_path / "home", provider_of(), budget__sign_above="0") as company:
        ada = company.ada
        ada.says("Write the page.")
        await company.sees("revision 1")
        begun(company, company.orders[0]["id"])
        ada.says("yes")
        told = await company.sees("cannot tell whether this happened")
        await company.sees("is delivered")
        ada.says("Shorter, please.", reply_to=told)
        await company.sees("revision 2")
        ada.says("yes")
        await company.sees("is delivered")
        await company.settled()
        rows = company.rows(outbox)
    assert "cto had begun write_file" in told.text
    assert "launch.md" in told.text
    assert "reply to this message" in told.text
    assert [row["state"] for row in rows if row["dedupe_key"].startswith("effect/")] == ["sent"]


def begun(company: Chatting, order_id: str) -> None:
    """Leave a call on the books as a killed machine would: begun, and with no result."""
    row = {
        "order_id": order_id,
        "node": "t1/0.0/w0",
        "seq": 0,
        "position": 0,
        "tool": "write_file",
        "arguments": '{"path": "launch.md"}',
        "decision": "allow",
        "rule": "test",
        "state": "started",
        "result": "{}",
        "at": iso(company.app.clock.now()),
    }
    company.app.store.write(lambda c: c.execute(sa.insert(effects).values(**row)))
