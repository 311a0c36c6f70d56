"""How instances are shown, to people and to programs."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from swarm.core.clock import iso
from swarm.core.money import CostStatus, plain
from swarm.farm.backup import Backup
from swarm.farm.base import Instance, Price
from swarm.farm.farm import Restored, Seen, Started
from swarm.farm.findings import Finding
from swarm.farm.records import Record

_CENT = 4
"""Digits after the point of a cost per day."""


def started(found: Started, lacks: list[str]) -> dict[str, Any]:
    """Return what came of `up` as a document."""
    return {
        **of_instance(found.instance),
        "for": found.record.spec.owner,
        "driver": found.record.driver,
        "is_new": found.is_new,
        "ready_at": None if found.record.ready_at is None else iso(found.record.ready_at),
        "ready_s": None if found.record.ready_ms is None else f"{found.record.ready_ms / 1000:.3f}",
        "bot": found.record.bot,
        "founder_code": found.talk.code or None,
        "problem": found.talk.problem or None,
        "missing": lacks,
        "price": of_price(found.price),
    }


def of_instance(instance: Instance) -> dict[str, Any]:
    """Return an instance as its place reports it."""
    return {
        "name": instance.name,
        "state": instance.state.value,
        "detail": instance.detail or None,
        "image": instance.image,
        "image_id": instance.image_id or None,
        "has_drifted": instance.has_drifted,
        "generation": instance.generation,
        "address": instance.address or None,
        "host": instance.host or None,
        "since": None if instance.since is None else iso(instance.since),
        "parts": [
            {"kind": part.kind.value, "name": part.name, "id": part.id}
            for part in instance.resources
        ],
    }


def of_price(price: Price | None) -> dict[str, Any] | None:
    """Return what something costs while it exists."""
    if price is None:
        return None
    return {
        "hourly": None if price.hourly is None else plain(price.hourly),
        "monthly": None if price.monthly is None else plain(price.monthly),
        "per_day": None if price.per_day is None else plain(round(price.per_day, 12)),
        "currency": price.currency,
        "tax": price.tax,
        "status": price.status.value,
        "source": price.source or None,
        "read": None if price.read is None else price.read.isoformat(),
        "reason": price.reason or None,
    }


def price_line(price: Price) -> str:
    """Say what an instance costs."""
    if price.per_day is None:
        return f"Its hosting is unpriced: {price.reason}."
    kind = " (notional: own hardware)" if price.status is CostStatus.NOTIONAL else ""
    of = "" if price.read is None else f", at the prices of {price.read.isoformat()}"
    return f"Hosting: {_short(price)} {price.currency} {price.tax} a day{kind}{of}."


def entry(seen: Seen, price: Price | None) -> dict[str, Any]:
    """Return one line of `ls` as a document."""
    record, instance = seen.record, seen.instance
    shown = {} if instance is None else of_instance(instance)
    return {
        **shown,
        "name": _name(seen),
        "for": record.spec.owner if record else instance.owner if instance else None,
        "driver": record.driver if record else None,
        "state": instance.state.value if instance else "unknown" if seen.problem else "missing",
        "wanted": None if record is None else record.state,
        "problem": seen.problem or _problem(seen),
        "image": instance.image if instance else record.spec.image if record else None,
        "has_drifted": bool(instance and instance.has_drifted),
        "bot": record.bot if record else None,
        "memory_mib": record.spec.memory_mib if record else None,
        "cpus": plain(record.spec.cpus) if record else None,
        "pids": record.spec.pids if record else None,
        "budget_month": _budget(record),
        "currency": record.spec.currency if record else None,
        "secrets": list(record.secrets) if record else [],
        "environment": dict(record.spec.environment) if record else {},
        "created_at": iso(record.created_at) if record else None,
        "ready_s": f"{record.ready_ms / 1000:.3f}"
        if record and record.ready_ms is not None
        else None,
        "price": of_price(price),
    }


def _budget(record: Record | None) -> str | None:
    if record is None or record.spec.budget_month is None:
        return None
    return plain(record.spec.budget_month)


def _problem(seen: Seen) -> str | None:
    record, name = seen.record, _name(seen)
    if record is None:
        return "it is not on the books: `swarm farm reconcile`"
    if record.state == "coming":
        return f"its start did not end: `swarm farm up {name}` again"
    if record.state == "going":
        return f"its removal did not end: `swarm farm rm {name}` again"
    if record.pending:
        return f"its upgrade did not end: `swarm farm upgrade {name}` again"
    if seen.instance is None:
        return "its place has nothing of it: `swarm farm reconcile`"
    if record.halted is not None:
        return (
            f"its budget of {record.halted} is spent, so it was stopped: `swarm farm budget {name} "
            "AMOUNT` raises it"
        )
    return None


def _name(seen: Seen) -> str:
    return seen.record.name if seen.record else seen.instance.name if seen.instance else ""


def table(found: list[tuple[Seen, Price | None]], months: Mapping[str, str]) -> str:
    """Return the instances as lines; empty for none. `months` says what each spent this month."""
    if not found:
        return ""
    rows = [("NAME", "FOR", "STATE", "IMAGE", "BOT", "A DAY", "SPENT")]
    notes = []
    for seen, price in found:
        shown = entry(seen, price)
        drift = " (drifted)" if shown["has_drifted"] else ""
        rows.append(
            (
                shown["name"], shown["for"] or "?", shown["state"], f"{shown['image'] or '?'}{drift}",
                f"@{shown['bot']}" if shown["bot"] else "-", _a_day(price),
                months.get(shown["name"], "-"),
            )
        )  # fmt: skip
        if shown["problem"] or shown.get("detail"):
            notes.append(f"{shown['name']}: {shown['problem'] or shown['detail']}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(f"{word:{width}}" for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if any(shown for shown in notes):
        lines += ["", *notes]
    if any(seen.instance and seen.instance.has_drifted for seen, _ in found):
        lines += [
            "",
            "Drifted: the image's name means another image by now; `swarm farm upgrade NAME`.",
        ]
    return "\n".join(lines)


def _a_day(price: Price | None) -> str:
    if price is None:
        return "-"
    return "unpriced" if price.per_day is None else f"{_short(price)} {price.currency}"


def _short(price: Price) -> str:
    assert price.per_day is not None
    return f"{price.per_day:.{_CENT}f}"


def card(document: dict[str, Any]) -> str:
    """Return one instance, a line for each fact."""
    lines = [f"{document['name']}, for {document['for']}: {document['state']}"]
    if document["problem"] or document.get("detail"):
        lines.append(f"  {document['problem'] or document['detail']}")
    drift = ", whose name means another image by now" if document["has_drifted"] else ""
    lines.append(f"  image: {document['image']}{drift}")
    lines.append(
        f"  limits: {document['memory_mib']} MiB, {document['cpus']} processors, {document['pids']} processes"
    )
    if document["budget_month"]:
        held = document["budget"]
        lines.append(
            f"  budget: {document['budget_month']} {document['currency']} a month; spent "
            f"{'at least ' if held['is_at_least'] else ''}{Decimal(held['spent']):.2f} in {held['month']}"
        )
    for label, key in (("address", "address"), ("since", "since"), ("host", "host")):
        if document.get(key):
            lines.append(f"  {label}: {document[key]}")
    if document["bot"]:
        lines.append(f"  bot: @{document['bot']}")
    lines.append(f"  secrets: {', '.join(document['secrets']) or 'none'}")
    price = document["price"]
    if price is not None:
        told = f"{price['per_day']} {price['currency']} {price['tax']}, {price['status']}"
        lines.append(f"  a day: {told if price['per_day'] else 'unpriced: ' + price['reason']}")
    lines += [f"  {part['kind']}: {part['name']}" for part in document.get("parts", [])]
    lines += [f"  backup: {path}" for path in document["backups"]]
    return "\n".join(lines)


def of_backup(held: Backup) -> dict[str, Any]:
    """Return what a backup holds."""
    return {
        "path": str(held.path),
        "bytes": held.size,
        "is_sealed": held.is_sealed,
        "files": held.files,
        "rows": held.rows,
        "orders": held.orders,
        "schema": held.schema,
        "tables": held.tables,
    }


def restored(done: Restored) -> dict[str, Any]:
    """Return what came of `restore`."""
    return {
        **of_instance(done.instance),
        "backup": of_backup(done.backup),
        "before": None if done.safety is None else str(done.safety),
        "is_audit_whole": done.is_audit_whole,
    }


def restored_lines(name: str, done: Restored) -> str:
    """Say what came of `restore`."""
    held = done.backup
    lines = [
        f"{name} has again what it had: {held.files} files, {held.orders} orders, {held.rows} rows.",
        "The record of who did what is whole."
        if done.is_audit_whole
        else f"The record of who did what is NOT whole: {done.audit}",
    ]
    if done.safety is not None:
        lines.append(f"What was there before: {done.safety}")
    return "\n".join(lines)


def of_finding(found: Finding) -> dict[str, Any]:
    """Return one difference between a place and the books."""
    return {
        "advice": found.advice.value,
        "instance": found.instance or None,
        "kind": found.kind.value,
        "name": found.name,
        "id": found.resource_id or None,
        "why": found.why,
        "per_day": None if found.per_day is None else plain(round(found.per_day, 12)),
        "currency": found.currency,
        "status": None if found.status is None else found.status.value,
        "is_mended": found.is_mended,
    }


def finding_line(found: Finding) -> str:
    """Say one difference."""
    if found.per_day is not None:
        price = f", {found.per_day:.{_CENT}f} {found.currency} a day"
    else:
        price = ", unpriced" if found.status is CostStatus.UNPRICED else ""
    done = " (done)" if found.is_mended else ""
    return f"{found.advice}{done}: {found.kind} {found.name}{price}: {found.why}"
