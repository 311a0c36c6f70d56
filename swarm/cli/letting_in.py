"""Let people in and out."""

from typing import Any

from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.channels.bound import is_for_customers
from swarm.cli.opened import opened
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say, show_json
from swarm.cli.wording import counted
from swarm.core.clock import iso
from swarm.core.errors import NotFound
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.runtime.outbox import put
from swarm.runtime.pairing import Request
from swarm.runtime.people import Person, role_named
from swarm.runtime.phrases import say as phrase


def listed(*, as_json: bool) -> None:
    """List people and waiting codes."""
    with opened() as app:
        everybody, waiting = app.store.read(
            lambda c: (app.people.listed(c), app.pairing.waiting(c))
        )
        # Nobody let them in, and there may be thousands: they have a list of their own.
        known = [person for person in everybody if not is_for_customers(person["channel"])]
        settings = app.settings
        fixed = {
            "telegram": [str(number) for number in settings.telegram.founders],
            "slack": list(settings.slack.founders),
            "whatsapp": list(settings.whatsapp.founders),
        }
    if as_json:
        show_json(
            {
                "people": known,
                "waiting": [_request(request) for request in waiting],
                "founders_by_settings": {"telegram": [], **{k: v for k, v in fixed.items() if v}},
            }
        )
        return
    lines = [
        f"{r.code}  {r.channel}:{r.platform_id}  {r.name!r} waits until {r.expires_at}: "
        f"`swarm pairing approve {r.code}`"
        for r in waiting
    ]
    lines += [
        f"{p['id']}  {p['channel']}:{p['platform_id']}  {p['name']!r}  {p['role']}"
        f"{'  (revoked)' if p['revoked_at'] else ''}"
        for p in known
    ]
    lines += [
        f"{channel}:{found}  founder by the settings"
        for channel, people in fixed.items()
        for found in people
    ]
    if len(everybody) > len(known):
        customers = counted(len(everybody) - len(known), "customer")
        lines.append(f"And {customers}: `swarm customers list`.")
    say("\n".join(lines) or "Nobody may write from a chat yet: `swarm pairing invite`.")


def approve(*, code: str, role: str, as_json: bool) -> None:
    """Let a person in.

    Raises:
        InvalidInput, NotFound, Conflict: Nothing was changed.
    """
    wanted = role_named(role)
    with opened() as app:

        def work(connection: Connection) -> Person:
            signer = terminal_signer(app.environment)
            person, asked = app.pairing.approve(connection, code, role=wanted, by=signer.identity)
            _record(app, connection, "person_let_in", person)
            _welcome(app, connection, person, asked)
            return person

        person = app.store.write(work)
    if as_json:
        show_json(_person(person))
    else:
        say(f"{person.name or person.platform_id} is {person.role.value} now ({person.id}).")


def invite(*, role: str, as_json: bool) -> None:
    """Print a one-time code.

    Raises:
        InvalidInput: No such role.
    """
    wanted = role_named(role)
    with opened() as app:
        by = terminal_signer(app.environment).identity
        code = app.store.write(lambda c: app.pairing.invite(c, wanted, by=by))
    if as_json:
        show_json({"code": code, "role": wanted.value, "minutes": 60})
    else:
        say(f"Send `/start {code}` to the bot within an hour: it makes you {wanted.value}, once.")


def revoke(*, who: str, as_json: bool) -> None:
    """Take rights back, or refuse a code.

    Raises:
        NotFound, InvalidInput: Nothing was changed.
    """
    with opened() as app:
        by = terminal_signer(app.environment).identity

        def work(connection: Connection) -> list[str]:
            if app.pairing.refuse(connection, who, by=by):
                return [who]
            try:
                gone = app.people.revoke(connection, who, by=by)
            except NotFound as error:
                raise NotFound(f"{error} `swarm pairing list` shows them.") from None
            app.signatures.note(
                connection,
                kind="person_revoked",
                order_id=None,
                signer=terminal_signer(app.environment),
                body={"people": gone},
            )
            return gone

        gone = app.store.write(work)
    if as_json:
        show_json({"revoked": gone})
    else:
        say(f"Revoked: {', '.join(gone)}.")


def _record(app: App, connection: Connection, kind: str, person: Person) -> None:
    app.signatures.note(
        connection,
        kind=kind,
        order_id=None,
        signer=terminal_signer(app.environment),
        body={"person": person.identity, "role": person.role.value},
    )


def _welcome(app: App, connection: Connection, person: Person, asked: Any) -> None:
    """Tell a person that they were let in; the worker sends it."""
    now = iso(app.clock.now())
    message = OutboundMessage(
        channel=person.channel,
        chat_id=asked.chat_id,
        thread_id=None,
        kind=OutboundKind.ANSWER,
        text=phrase("welcome", person.language, role=person.role.value),
    )
    put(connection, dedupe_key=f"welcome/{person.id}/{now}", message=message, now=now)


def _person(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "channel": person.channel,
        "platform_id": person.platform_id,
        "name": person.name,
        "role": person.role.value,
    }


def _request(request: Request) -> dict[str, Any]:
    return {
        "code": request.code,
        "channel": request.channel,
        "platform_id": request.platform_id,
        "name": request.name,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
    }
