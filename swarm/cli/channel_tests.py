"""Look at channels, and try one out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.channels.bound import is_for_customers
from swarm.cli import exits
from swarm.cli.opened import opened
from swarm.cli.terminal import say, show_json, tell
from swarm.core.clock import iso
from swarm.core.errors import ConfigError
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.core.registry import nearest
from swarm.runtime.outbox import put
from swarm.store.tables import channel_health, inbox, outbox

POLL_S = 0.1


def listed(*, as_json: bool) -> None:
    """List the channels."""
    with opened() as app:
        found = app.store.read(lambda c: [_standing(c, name) for name in app.channel_names])
    if as_json:
        show_json(found)
        return
    say(
        "\n".join(
            f"{f['name']}: {f['state']}{': ' + f['detail'] if f['detail'] else ''}; "
            f"{f['waiting']} to send, {f['unknown']} unknown, {f['unhandled']} to handle"
            for f in found
        )
        or "No channel is set up."
    )


def _standing(connection: Connection, name: str) -> dict[str, Any]:
    health = connection.execute(
        sa.select(channel_health).where(channel_health.c.channel == name)
    ).first()
    states = connection.execute(
        sa.select(outbox.c.state, sa.func.count())
        .where(outbox.c.channel == name)
        .group_by(outbox.c.state)
    )
    counts = {row[0]: int(row[1]) for row in states}
    heard = sa.select(sa.func.count()).where(inbox.c.channel == name, inbox.c.state == "new")
    return {
        "name": name,
        "state": health.state if health else "not run yet",
        "detail": health.detail if health else "",
        "at": health.at if health else None,
        "waiting": counts.get("pending", 0),
        "unknown": counts.get("unknown", 0),
        "refused": counts.get("refused", 0),
        "unhandled": int(connection.execute(heard).scalar() or 0),
    }


def test(*, name: str, wait_s: float, as_json: bool) -> int:
    """Try a channel out, both ways.

    Raises:
        ConfigError: It is not set up, or nobody can be reached on it.
    """
    with opened() as app:
        if name not in app.channel_names or name == "console":
            known = [known for known in app.channel_names if known != "console"]
            raise ConfigError(f"The channel {name!r} is not set up{nearest(name, known)}")
        report = asyncio.run(_try(app, name, wait_s))
    if as_json:
        show_json(report)
    else:
        say(f"Sent: {report['sent']}. Heard: {report['heard'] or 'nothing yet'}.")
    return exits.DONE if report["sent"] == "sent" else exits.FAILED


async def _try(app: App, name: str, wait_s: float) -> dict[str, Any]:
    key, since = app.store.write(lambda c: _queue(app, c, name))
    if is_for_customers(name):
        tell(f"Write /start to {name} from any account: the answer is the test.")
    async with AsyncExitStack() as stack:
        if not app.works_for:
            await stack.enter_async_context(_worked(app, name))
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            sent, heard = await app.store.aread(lambda c: _seen(c, name, key, since))
            is_settled = sent in ("refused", "unknown") or (sent == "sent" and heard)
            if is_settled or loop.time() > until:
                return {"channel": name, "sent": sent, "heard": heard}
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def _worked(app: App, name: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    job = asyncio.create_task(app.worker({name: app.channel(name)}).run(stop))
    try:
        yield
    finally:
        stop.set()
        await job


def _queue(app: App, connection: Connection, name: str) -> tuple[str, str]:
    now = iso(app.clock.now())
    if is_for_customers(name):
        # A test message is no customer's business; whoever tests it writes first, and is answered.
        return "reply/", now
    people = [p for p in app.people.founders(connection) if p.channel == name]
    if not people:
        raise ConfigError(
            f"No founder can be reached on {name}: write to it first while `swarm up` runs, or pair with "
            "`swarm pairing invite`."
        )
    for person in people:
        message = OutboundMessage(
            channel=name,
            chat_id=person.chat_id or "",
            thread_id=None,
            kind=OutboundKind.ANSWER,
            text="A test of this channel. Answer /status to test the way back.",
        )
        put(connection, dedupe_key=f"test/{now}/{person.id}", message=message, now=now)
    return f"test/{now}/", now


def _seen(connection: Connection, name: str, key: str, since: str) -> tuple[str, str]:
    mine = (outbox.c.channel == name, outbox.c.created_at >= since, outbox.c.part == 0)
    states = set(
        connection.execute(
            sa.select(outbox.c.state).where(outbox.c.dedupe_key.startswith(key), *mine)
        ).scalars()
    )
    order = ("sent", "unknown", "refused", "sending", "pending")
    sent = next((state for state in order if state in states), "pending")
    heard = connection.execute(
        sa.select(inbox.c.kind)
        .where(inbox.c.channel == name, inbox.c.received_at >= since)
        .order_by(inbox.c.id)
        .limit(1)
    ).scalar()
    return sent, str(heard or "")
