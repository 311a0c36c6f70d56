"""Look at the audit chain, check it, sign it and hand it out."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from swarm.app import App
from swarm.cli import exits
from swarm.cli.opened import opened
from swarm.cli.terminal import say, show_json, tell
from swarm.core.errors import ConfigError, InvalidInput, NotFound
from swarm.settings import load
from swarm.store import audit as chain
from swarm.store import audit_key
from swarm.store.audit_key import AuditKey
from swarm.store.chain import Head, Link, Report

_BATCH = 500
"""Lines written at once."""


def verify(
    *,
    file: Path | None,
    head: str | None,
    keys: Sequence[str] | None,
    without_key: bool,
    as_json: bool,
) -> int:
    """Check a chain and say what was found.

    Raises:
        InvalidInput: A key or a head that is none.
        ConfigError: There is no company, or the file cannot be read.
    """
    if without_key and keys:
        raise InvalidInput("Give either --key or --without-key.")
    anchor = None if head is None else Head.from_line(head)
    public_keys = None if without_key else _public_keys(keys, is_needed=file is not None)
    if file is not None:
        report = _verify_file(file, public_keys, anchor)
    else:
        with opened() as app:
            report = app.store.read(
                lambda c: chain.verify(c, public_keys=public_keys, anchor=anchor)
            )
    if as_json:
        show_json(_document(report))
    else:
        say(_sentence(report, is_checked=public_keys is not None))
    return exits.DONE if report.is_whole else exits.USAGE


def export() -> None:
    """Write the chain as lines of JSON."""
    with opened() as app:
        app.store.read(lambda c: _write(chain.export(c)))


def head(*, sign: bool, as_json: bool) -> None:
    """Show the newest row, or sign it.

    Raises:
        NotFound: The chain is empty.
        Conflict: Its head was signed with another key.
    """
    with opened() as app:
        if sign:
            writer = chain.AuditChain(clock=app.clock, key=_key(app))
            signed = app.store.write(writer.sign)
            if signed is None:
                raise _empty()
            _show_signed(signed, as_json=as_json)
            return
        last = app.store.read(chain.newest)
    if last is None:
        raise _empty()
    if as_json:
        show_json(_row(last))
    else:
        say(f"row {last.seq}, {last.at}, {last.kind} by {last.actor}\n{last.hash}")


def key(*, as_json: bool) -> None:
    """Print the public key; the company's key is made where there is none yet."""
    with opened() as app:
        found = _key(app)
    if as_json:
        show_json({"public_key": found.public_key.hex(), "id": found.id, "algorithm": "Ed25519"})
    else:
        say(found.public_key.hex())


def _verify_file(path: Path, public_keys: Sequence[bytes] | None, anchor: Head | None) -> Report:
    try:
        with path.open("rb") as file:
            return chain.verify_file(file, public_keys=public_keys, anchor=anchor)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def _public_keys(texts: Sequence[str] | None, *, is_needed: bool) -> list[bytes]:
    """Return the keys that were given, or else the company's own, if it has one yet."""
    if texts:
        return [_public_key(text) for text in texts]
    path = load().home / audit_key.FILE
    try:
        return [AuditKey.load(path).public_key]
    except FileNotFoundError as error:
        if not is_needed:
            return []
        raise ConfigError(
            f"There is no {path} to check signatures with: give the public key as --key (it is "
            "what `swarm audit key` printed), or --without-key to check the chain alone."
        ) from error


def _public_key(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise InvalidInput(
            f"{text!r} is no public key: give the 64 hexadecimal signs that `swarm audit key` "
            "printed."
        )
    return found


def _key(app: App) -> AuditKey:
    return AuditKey.load_or_create(app.home / audit_key.FILE)


def _write(lines: Any) -> None:
    while batch := list(islice(lines, _BATCH)):
        say("\n".join(batch))


def _show_signed(signed: Head, *, as_json: bool) -> None:
    if as_json:
        show_json({**signed._asdict(), "line": signed.line()})
        return
    say(signed.line())
    tell("Keep this line where nobody who can change this machine can change it, and check with")
    tell("`swarm audit verify --head LINE`.")


def _sentence(report: Report, *, is_checked: bool) -> str:
    if report.first_bad is not None:
        return (
            f"Row {report.first_bad} of the audit chain is the first bad one: {report.why}.\n"
            f"{_proven(report)} Keep a copy of the company's folder before you change anything."
        )
    if report.last is None:
        return "The audit chain is empty."
    counted = f"The audit chain is whole: {report.rows} rows, the last of {report.last.at}."
    if not is_checked:
        return f"{counted} Signatures were not checked."
    return f"{counted} {_proven(report)}"


def _proven(report: Report) -> str:
    if not report.signed_to:
        return "No signature vouches for any row yet."
    rows = f"rows 1 to {report.signed_to}" if report.signed_to > 1 else "row 1"
    return f"Signatures vouch for {rows}."


def _document(report: Report) -> dict[str, Any]:
    last = report.last
    return {
        "is_whole": report.is_whole,
        "rows": report.rows,
        "heads": report.heads,
        "signed_to": report.signed_to,
        "first_bad": report.first_bad,
        "why": report.why or None,
        "head": None if last is None else {"seq": last.seq, "hash": last.hash, "at": last.at},
    }


def _row(link: Link) -> dict[str, Any]:
    return {"seq": link.seq, "hash": link.hash, "at": link.at, "kind": link.kind}


def _empty() -> NotFound:
    return NotFound("The audit chain is empty: nothing was recorded yet.")
