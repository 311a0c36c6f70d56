"""Hold what a place has against what the books say: adopt, delete or alert, with the cost per day."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from swarm.farm.base import (
    Action,
    Driver,
    Entry,
    EntryState,
    Intent,
    Journal,
    Kind,
    Listing,
    Resource,
)
from swarm.farm.findings import Advice, Finding, a_finding, of
from swarm.farm.records import COMING, GOING, Record
from swarm.farm.sharing import of_shared
from swarm.farm.steps import living


def compare(
    listing: Listing, entries: Sequence[Entry], records: Sequence[Record], *, provider: str
) -> list[Finding]:
    """Return every difference between a place and the books.

    Args:
        listing: What the place has with this farm's label.
        entries: The journal of this provider.
        records: The farm's instances, of every driver.
        provider: The driver's name.
    """
    wanted = {r.name: r for r in records if r.driver == provider}
    known = {entry.resource_id: entry for entry in living(entries)}
    still_open = [e for e in entries if e.state is EntryState.INTENDED]
    there = {r.id: r for r in listing.resources}
    found = [
        finding
        for resource in listing.resources
        if resource.instance
        and (finding := _of_resource(resource, wanted, known, still_open)) is not None
    ]
    found += of_shared(listing.resources, entries, wanted)
    servers = {r.name for r in listing.resources if r.kind is Kind.SERVER}
    found += [_gone(e, servers) for id_, e in known.items() if id_ not in there]
    names = {(r.instance, r.name) for r in listing.resources}
    # What several share may be asked for at this very moment, by whoever starts an instance.
    is_busy = any(record.state == COMING for record in wanted.values())
    found += [
        a_finding(
            Advice.CLOSE, e.intent, e.resource_id, "intended, and never made or long gone", entry=e
        )
        for e in still_open
        if (e.intent.instance, e.intent.name) not in names
        and e.intent.instance not in wanted
        and not (is_busy and e.intent.instance == "")
    ]
    return found + _of_records(wanted, listing, {finding.instance for finding in found})


def _gone(entry: Entry, servers: Collection[str]) -> Finding:
    """Tell of what the books have and the place does not show.

    A seat whose server is there may be on it all the same, with its home: a server that does not
    answer now shows nothing. To close its books would give the server away to be deleted.
    """
    if entry.intent.kind is Kind.CONTAINER and entry.intent.parent in servers:
        why = f"its server {entry.intent.parent} is there and does not show it: can it be reached?"
        return a_finding(Advice.ALERT, entry.intent, entry.resource_id, why, entry=entry)
    why = "the books have it, the place has not"
    return a_finding(Advice.CLOSE, entry.intent, entry.resource_id, why, entry=entry)


def _of_resource(
    resource: Resource, wanted: dict[str, Record], known: dict[str, Entry], still_open: list[Entry]
) -> Finding | None:
    record = wanted.get(resource.instance)
    entry = known.get(resource.id)
    price = resource.price or (entry.intent.price if entry else None)
    if record is None:
        return of(
            Advice.DELETE, resource, price, "it belongs to no instance of this farm", entry=entry
        )
    if record.state == GOING:
        return of(Advice.FINISH, resource, price, f"run `swarm farm rm {record.name}` again")
    if record.state == COMING or record.pending:
        verb = "upgrade" if record.pending else "up"
        return of(Advice.FINISH, resource, price, f"run `swarm farm {verb} {record.name}` again")
    opened = [e for e in still_open if e.intent.name == resource.name]
    if entry is None and not any(e.intent.action is Action.CREATE for e in opened):
        return of(Advice.ADOPT, resource, price, "it is a living instance's, and not on the books")
    if opened:
        return of(
            Advice.ADOPT,
            resource,
            price,
            "it is there, and its making was not noted",
            entry=opened[0],
        )
    return None


def _of_records(
    wanted: dict[str, Record], listing: Listing, told: Collection[str]
) -> list[Finding]:
    there = {instance.name for instance in listing.instances}
    return [
        _missing(record)
        for record in wanted.values()
        if record.name not in there or (record.state in (COMING, GOING) and record.name not in told)
    ]


def _missing(record: Record) -> Finding:
    verb = {COMING: "up", GOING: "rm"}.get(record.state)
    why = (
        f"run `swarm farm {verb} {record.name}` again"
        if verb
        else "the farm knows it, and the place has nothing of it: rm it, or restore a backup anew"
    )
    return Finding(
        Advice.FINISH if verb else Advice.ALERT, record.name, Kind.CONTAINER, record.name, "", why,
        None, None, None,
    )  # fmt: skip


async def mend(driver: Driver, journal: Journal, findings: Sequence[Finding]) -> list[Finding]:
    """Do what the findings advise, but for what a person must do; return what was done."""
    done = []
    ended: set[str] = set()
    # What is gone is closed first: its successor of the same name is another row.
    for finding in sorted(findings, key=lambda f: f.advice is not Advice.CLOSE):
        if finding.advice is Advice.DELETE:
            if (ending := finding.ends or finding.instance) not in ended:
                await driver.destroy(ending)
                ended.add(ending)
        elif finding.advice is Advice.CLOSE and finding.entry is not None:
            await _close(journal, finding.entry)
        elif finding.advice is Advice.ADOPT and finding.resource is not None:
            await _adopt(driver.name, journal, finding.resource, finding.entry)
        else:
            continue
        done.append(finding)
    return done


async def _close(journal: Journal, entry: Entry) -> None:
    if entry.state is EntryState.INTENDED:
        if entry.intent.action is Action.DELETE:
            await journal.done(entry, resource_id=entry.resource_id)
        else:
            await journal.undone(entry, why="looked for, and not there")
        return
    gone = await journal.intend(replace(entry.intent, action=Action.DELETE))
    await journal.done(gone, resource_id=entry.resource_id)


async def _adopt(provider: str, journal: Journal, resource: Resource, entry: Entry | None) -> None:
    if entry is not None and entry.intent.action in (Action.START, Action.STOP):
        if resource.is_running is (entry.intent.action is Action.START):
            await journal.done(entry, resource_id=resource.id)
        else:
            await journal.undone(entry, why="looked at, and it is as before")
        return
    if entry is not None and entry.intent.action is Action.DELETE:
        await journal.undone(entry, why="looked for, and it is still there")
        return
    if entry is None:
        intent = Intent(
            resource.instance, resource.owner, resource.generation, provider, Action.ADOPT,
            resource.kind, resource.name, resource.type, resource.location, resource.size_gb,
            resource.price, resource.parent,
        )  # fmt: skip
        entry = await journal.intend(intent)
    await journal.done(entry, resource_id=resource.id, at=resource.created_at, price=resource.price)
