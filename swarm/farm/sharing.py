"""Hold what several instances share, servers and what hangs on them, against the books."""

from collections.abc import Iterable, Mapping, Sequence

from swarm.farm.base import Action, Entry, EntryState, Kind, Price, Resource
from swarm.farm.findings import Advice, Finding, of
from swarm.farm.records import COMING, GOING, Record
from swarm.farm.steps import living

_MAKING = (Action.CREATE, Action.ADOPT)


def of_shared(
    resources: Sequence[Resource], entries: Sequence[Entry], wanted: Mapping[str, Record]
) -> list[Finding]:
    """Return the findings about what belongs to no instance alone.

    A server costs the same whether anybody sits on it. So one without a seat on the books is to go,
    and one whose only seats never came to be is told with the command that finishes them.

    Args:
        resources: All that is there.
        entries: The journal of this provider.
        wanted: The instances of this driver by name.
    """
    servers = {r.id: r.name for r in resources if r.kind is Kind.SERVER}
    known = {entry.resource_id: entry for entry in living(entries)}
    coming = {e.intent.name: e for e in entries if _is_coming(e)}
    found = []
    for resource in resources:
        if resource.instance:
            continue
        host = _host_of(resource, servers)
        entry = known.get(resource.id)
        price = resource.price or (entry.intent.price if entry else None)
        sitters = _sitters(entries, host)
        advice = _advice(sitters, wanted, resource)
        if advice is None and entry is None:
            open_entry = coming.get(resource.name)
            advice = (
                (Advice.ADOPT, "it is there, and its making was not noted")
                if open_entry is not None
                else (Advice.ALERT, "shared, and not on the books")
            )
            entry = open_entry
        if advice is not None:
            found.append(_told(resource, price, advice, entry, _last(entries, host)))
    return found


def _is_coming(entry: Entry) -> bool:
    return entry.state is EntryState.INTENDED and entry.intent.action in _MAKING


def _host_of(resource: Resource, servers: Mapping[str, str]) -> str | None:
    """Return the name of the server that it is or hangs on; None for what all servers share."""
    if resource.kind in (Kind.FIREWALL, Kind.KEY, Kind.NETWORK, Kind.SECRET):
        return None
    if resource.parent is not None and resource.parent in servers:
        return servers[resource.parent]
    return resource.name.removesuffix("-ipv4").removesuffix("-disk")


def _sitters(entries: Iterable[Entry], host: str | None) -> set[str]:
    """Return the instances that sit on a server by the books, or are about to; None: on any."""
    sitting: dict[str, str] = {}
    for entry in entries:
        of_it = entry.intent
        if of_it.kind is not Kind.CONTAINER or of_it.parent is None:
            continue
        if of_it.action in _MAKING and entry.state is not EntryState.UNDONE:
            sitting[of_it.instance] = of_it.parent
        elif of_it.action is Action.DELETE and entry.state is EntryState.DONE:
            sitting.pop(of_it.instance, None)
    return {name for name, at in sitting.items() if host in (None, at)}


def _advice(
    sitters: set[str], wanted: Mapping[str, Record], resource: Resource
) -> tuple[Advice, str] | None:
    """Return what is to be done about something by who sits there; None where it is of use."""
    here = [wanted[name] for name in sorted(sitters) if name in wanted]
    if any(record.state not in (COMING, GOING) for record in here):
        return None
    if here:
        verb = "up" if here[0].state == COMING else "rm"
        return Advice.FINISH, f"run `swarm farm {verb} {here[0].name}` again"
    if resource.is_kept:
        why = "nobody sits on it; the setting keep_empty keeps it, and it costs"
        return (Advice.ALERT, why) if resource.price is not None else None
    return Advice.DELETE, "nobody sits on it"


def _last(entries: Iterable[Entry], host: str | None) -> str:
    """Return who had the last seat there: to end that again ends the server with it."""
    sat = [
        e.intent.instance for e in entries
        if e.intent.kind is Kind.CONTAINER and e.intent.parent is not None
        and host in (None, e.intent.parent)
    ]  # fmt: skip
    return sat[-1] if sat else ""


def _told(
    resource: Resource,
    price: Price | None,
    advice: tuple[Advice, str],
    entry: Entry | None,
    last: str,
) -> Finding:
    kind, why = advice
    if kind is Advice.DELETE and not last:
        kind, why = Advice.ALERT, f"{why}, and the books do not know who did: delete it by hand"
    return of(kind, resource, price, why, entry=entry, ends=last if kind is Advice.DELETE else "")
