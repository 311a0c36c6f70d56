"""Keep what is signed in advance."""

from typing import Any

from swarm.cli.opened import opened
from swarm.cli.terminal import say, show_json
from swarm.core.clock import iso
from swarm.core.errors import InvalidInput
from swarm.core.registry import nearest
from swarm.ledger.approvals import Signer
from swarm.runtime.signatures import Standing
from swarm.settings import Environment
from swarm.tools.registry import TOOLS


def listed(*, as_json: bool) -> None:
    """List every rule, the newest first."""
    with opened() as app:
        found = app.signatures.standing()
        now = app.clock.now()
    if as_json:
        show_json([_document(rule) for rule in found])
        return
    lines = [
        f"{r.id}  {r.role} may use {r.tool} towards {', '.join(r.destinations)} until "
        f"{iso(r.until)}{'' if r.is_good(now) else '  (ended)'}"
        for r in found
    ]
    say("\n".join(lines) or "Nothing is signed in advance.")


def allow(*, role: str, tool: str, to: list[str], days: float, note: str, as_json: bool) -> None:
    """Sign in advance.

    Raises:
        InvalidInput: No such role or tool, no destination, or no sensible time.
    """
    with opened() as app:
        if role not in app.org.roles:
            raise InvalidInput(f"There is no role {role!r}{nearest(role, app.org.roles)}")
        if tool not in TOOLS.names() and not tool.startswith("mcp_"):
            raise InvalidInput(f"There is no tool {tool!r}{nearest(tool, TOOLS.names())}")
        rule = app.signatures.allow(
            role=role,
            tool=tool,
            destinations=tuple(to),
            days=days,
            note=note,
            signer=terminal_signer(app.environment),
        )
    if as_json:
        show_json(_document(rule))
    else:
        say(f"{rule.id}: signed until {iso(rule.until)}. `swarm rules revoke {rule.id}` ends it.")


def revoke(*, rule_id: str, as_json: bool) -> None:
    """Take a signature back.

    Raises:
        NotFound, Conflict: Nothing was changed.
    """
    with opened() as app:
        app.signatures.revoke(rule_id, signer=terminal_signer(app.environment))
    if as_json:
        show_json({"id": rule_id, "status": "revoked"})
    else:
        say(f"{rule_id} is revoked: the next call asks again.")


def terminal_signer(environment: Environment) -> Signer:
    """Return who sits at this terminal; the operating system knows them by number."""
    return Signer(f"console:{environment.user_id}", environment.user)


def _document(rule: Standing) -> dict[str, Any]:
    return {
        "id": rule.id,
        "role": rule.role,
        "tool": rule.tool,
        "destinations": list(rule.destinations),
        "until": iso(rule.until),
        "note": rule.note,
        "created_by": rule.created_by,
        "revoked_at": iso(rule.revoked_at) if rule.revoked_at else None,
    }
