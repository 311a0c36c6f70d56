"""Look at the company's skills, and let them in or shut them out."""

import sys
from typing import Any

from swarm.app import App
from swarm.cli import exits
from swarm.cli.opened import opened
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say, show_json, tell
from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.registry import nearest
from swarm.tools.skill_lock import SkillApproval, SkillLock, open_shelf
from swarm.tools.skills import Skill, SkillEntry, SkillSource, visible


def listed(*, as_json: bool) -> None:
    """List all skills with their state."""
    with opened() as app:
        entries = open_shelf(app.home).list()
        if as_json:
            show_json([_entry(entry) for entry in entries])
            return
        say("\n".join(map(_line, entries)))
        if any(entry.source is SkillSource.COMPANY and not entry.is_ready for entry in entries):
            say("`swarm skills approve NAME` shows one and lets it in.")


def show(*, name: str, as_json: bool) -> None:
    """Show a skill whole.

    Raises:
        NotFound: No such skill.
        InvalidInput: It cannot be read.
    """
    with opened() as app:
        shelf = open_shelf(app.home)
        skill = shelf.look(name)
        state = next(entry.state for entry in shelf.list() if entry.name == name)
        if as_json:
            show_json({**_skill(skill), "state": state})
        else:
            say(f"{_content(skill)}\n\n{name}: {state}, sha256 {skill.digest}")


def approve(*, name: str, yes: bool, digest: str, as_json: bool) -> int:
    """Show a skill whole, ask, and let exactly that in.

    Raises:
        NotFound, InvalidInput, Conflict, ConfigError: Nothing was approved; the text says why.
    """
    with opened() as app:
        # Read once: what is shown, asked about and stored is one and the same.
        skill = open_shelf(app.home).look(name)
        if skill.source is SkillSource.SHIPPED:
            raise InvalidInput(f"Skill {name!r} came with the program and needs no approval.")
        if digest and digest.lower() != skill.digest:
            raise Conflict(f"Skill {name!r} now has the digest {skill.digest}: look at it again.")
        # Beside a document the content goes where a person reads, not where a program does.
        (tell if as_json else say)(f"{_content(skill)}\n\nsha256 {skill.digest}")
        if not yes and not _agreed(name):
            tell(f"Skill {name!r} stays closed.")
            return exits.WAITING
        approval = _stored(app, skill)
        if as_json:
            show_json({**_skill(skill), "state": "ready", **_approval(approval)})
        else:
            say(f"{name} may be used, exactly as shown; approved by {approval.approved_by}.")
    return exits.DONE


def revoke(*, name: str, as_json: bool) -> None:
    """Take an approval back.

    Raises:
        NotFound: There is none.
    """
    with opened() as app:
        lock = SkillLock(app.home)
        if not lock.revoke(name):
            raise NotFound(f"No skill {name!r} is approved{nearest(name, lock.approvals())}")
        signer = terminal_signer(app.environment)
        app.signatures.record(kind="skill_revoked", signer=signer, body={"skill": name})
    if as_json:
        show_json({"revoked": name})
    else:
        say(f"{name} may no longer be used.")


def _stored(app: App, skill: Skill) -> SkillApproval:
    environment = app.environment
    # On the record first: an approval that nobody can trace would be worse than one too many there.
    app.signatures.record(
        kind="skill_approved",
        signer=terminal_signer(environment),
        body={"skill": skill.name, "sha256": skill.digest},
    )
    return SkillLock(app.home).approve(
        skill, by=environment.user, by_id=environment.user_id, clock=app.clock
    )


def _agreed(name: str) -> bool:
    """Ask the person at the terminal.

    Raises:
        InvalidInput: Nobody is there to be asked.
    """
    if not sys.stdin.isatty():
        raise InvalidInput(
            f"Nobody is at the terminal to be asked: read it with `swarm skills show {name}`, then "
            "add --yes."
        )
    tell(f"Let the roles use {name}, exactly as shown? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _content(skill: Skill) -> str:
    """Return every file of a skill, as a person has to see it before letting it in."""
    return "\n\n".join(_file(path, data) for path, data in skill.files.items())


def _file(path: str, data: bytes) -> str:
    text = _text(data)
    head = f"=== {visible(path)} ({len(data):,} bytes)"
    if text is None:
        return f"{head}: not a text; no role can read it"
    hidden = len(visible(text)) != len(text)
    note = ", with hidden signs, shown as \\u{…}" if hidden else ""
    return f"{head}{note}\n{visible(text)}".rstrip("\n")


def _text(data: bytes) -> str | None:
    """Return what a role can read of a file, with nothing taken away."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.replace("\r\n", "\n")


def _entry(entry: SkillEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "description": entry.description,
        "source": entry.source.value,
        "sha256": entry.digest or None,
        "state": entry.state,
    }


def _skill(skill: Skill) -> dict[str, Any]:
    return {
        "name": skill.name,
        "description": skill.description,
        "source": skill.source.value,
        "sha256": skill.digest,
        "files": [
            {"path": path, "bytes": len(data), "text": _text(data)}
            for path, data in skill.files.items()
        ],
    }


def _approval(approval: SkillApproval) -> dict[str, str]:
    return {"approved_by": approval.approved_by, "approved_at": approval.approved_at}


def _line(entry: SkillEntry) -> str:
    return (
        f"{entry.name:24}  {entry.source.value:8}  {entry.state:15}  {entry.description}".rstrip()
    )
