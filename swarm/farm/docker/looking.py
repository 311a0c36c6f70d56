"""Read what an engine says of a farm's things."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from swarm.farm.base import (
    GENERATION,
    INSTANCE,
    OWNER,
    Action,
    Instance,
    InstanceState,
    Kind,
    Listing,
    Resource,
    Site,
)
from swarm.farm.docker.client import DockerClient
from swarm.farm.docker.words import (
    HELPER,
    HOME,
    PART,
    REPLACES,
    SEAT,
    ours,
    owner_of,
)
from swarm.farm.specs import SPEC, read_spec

_NEVER = "0001-"


@dataclass(frozen=True, slots=True)
class Thing:
    """A container, a volume or a network that carries our labels."""

    kind: Kind
    id: str
    name: str
    labels: Mapping[str, str]
    created_at: datetime | None
    raw: Mapping[str, Any]

    @property
    def instance(self) -> str:
        """Whose it is."""
        return self.labels.get(INSTANCE, "")

    @property
    def generation(self) -> str:
        """Which run made it."""
        return self.labels.get(GENERATION, "")

    @property
    def part(self) -> str:
        """Which part of an instance it is."""
        return self.labels.get(PART, "")

    @property
    def state(self) -> Mapping[str, Any]:
        """A container's state."""
        found: Mapping[str, Any] = self.raw.get("State") or {}
        return found

    @property
    def is_running(self) -> bool | None:
        """None where that makes no sense."""
        return bool(self.state.get("Running")) if self.kind is Kind.CONTAINER else None

    @property
    def was_started(self) -> bool:
        """Say whether a container has ever run."""
        return not str(self.state.get("StartedAt") or _NEVER).startswith(_NEVER)


async def look(client: DockerClient, site: Site, instance: str | None = None) -> list[Thing]:
    """Return all things of a farm, or of one of its instances."""
    more = {} if instance is None else {INSTANCE: instance}
    filters = ours(site, **more)
    containers = (await client.do("ps", "--all", "--no-trunc", "--quiet", *filters)).split()
    networks = (await client.do("network", "ls", "--no-trunc", "--quiet", *filters)).split()
    volumes = (await client.do("volume", "ls", "--quiet", *filters)).split()
    found = [
        Thing(
            Kind.CONTAINER, raw["Id"], raw["Name"].lstrip("/"), raw["Config"].get("Labels") or {},
            moment(raw.get("Created")), raw,
        )
        for raw in await client.inspect("container", *containers)
    ]  # fmt: skip
    found += [
        Thing(
            Kind.NETWORK,
            raw["Id"],
            raw["Name"],
            raw.get("Labels") or {},
            moment(raw.get("Created")),
            raw,
        )
        for raw in await client.inspect("network", *networks)
    ]
    for raw in await client.inspect("volume", *volumes):
        marked = raw.get("Labels") or {}
        kind = Kind.VOLUME if marked.get(PART) == HOME else Kind.SECRET
        found.append(
            Thing(kind, raw["Name"], raw["Name"], marked, moment(raw.get("CreatedAt")), raw)
        )
    return sorted(found, key=lambda thing: (thing.instance, thing.kind.value, thing.name))


def seats(things: list[Thing], instance: str) -> list[Thing]:
    """Return an instance's seats: the one in office, and after it those that are on trial."""
    mine = [t for t in things if t.instance == instance and t.part == SEAT]
    known = {t.generation for t in mine}
    return sorted(
        mine, key=lambda t: (t.labels.get(REPLACES, "") in known, t.created_at or _EARLIEST)
    )


_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


async def listing(client: DockerClient, site: Site) -> Listing:
    """Return all that carries our farm's label."""
    things = await look(client, site)
    opened = await unfinished(site)
    instances = []
    for name in sorted({t.instance for t in things} - {""}):
        images: dict[str, str] = {}
        for seat in seats(things, name)[:1]:
            wanted = _wanted_image(seat)
            known = await client.inspect("image", wanted) if wanted else []
            images = {wanted: str(known[0]["Id"])} if known else {}
        instances.append(described(things, name, images, opened))
    return Listing(tuple(instances), tuple(resource(t) for t in things))


async def unfinished(site: Site) -> frozenset[str]:
    """Return the names of things whose making has begun and has not been seen to end well."""
    entries = await site.journal.entries(provider="docker", only_open=True)
    return frozenset(e.intent.name for e in entries if e.intent.action is Action.CREATE)


def described(
    things: list[Thing], name: str, images: Mapping[str, str], opened: frozenset[str]
) -> Instance:
    """Return one instance.

    Args:
        things: All there is.
        name: Which instance.
        images: What images' names mean today.
        opened: Names of things whose making has not been seen to end well.
    """
    mine = [t for t in things if t.instance == name]
    parts = {t.part for t in mine} - {HELPER}
    inside = tuple(resource(t) for t in mine)
    found = seats(mine, name)
    if not found:
        return Instance(
            name, owner_of(mine[0].labels), InstanceState.BROKEN, mine[0].generation, resources=inside,
            detail=f"only its {' and '.join(sorted(parts)) or 'helper'} is there",
        )  # fmt: skip
    seat = found[0]
    state, detail = _state(seat, is_new=seat.name in opened)
    if missing := {"home", "secrets", "network"} - parts:
        state, detail = InstanceState.BROKEN, f"its {' and '.join(sorted(missing))} is missing"
    elif len(found) > 1 and not detail:
        detail = "an upgrade began and did not end"
    wanted = _wanted_image(seat)
    return Instance(
        name=name, owner=owner_of(seat.labels), state=state, generation=seat.generation,
        image=wanted, image_id=str(seat.raw.get("Image", "")), image_now=images.get(wanted, ""),
        address=_address(seat), since=moment(seat.state.get("StartedAt")), detail=detail,
        resources=inside,
    )  # fmt: skip


def _wanted_image(seat: Thing) -> str:
    text = seat.labels.get(SPEC)
    return read_spec(text)[0].image if text else ""


def _state(seat: Thing, *, is_new: bool) -> tuple[InstanceState, str]:
    state = seat.state
    status = str(state.get("Status", ""))
    if status == "running":
        health = str((state.get("Health") or {}).get("Status", "none"))
        if health == "unhealthy":
            return InstanceState.UNHEALTHY, "no sign of life"
        # The engine looks every half minute only; who made or started it has waited for a sign of life.
        return (InstanceState.STARTING if is_new else InstanceState.RUNNING), ""
    if status == "created":
        return InstanceState.BROKEN, "it was made and never started"
    if status in ("restarting", "dead"):
        return InstanceState.UNHEALTHY, f"it ends by itself, with code {state.get('ExitCode')}"
    why = "out of memory" if state.get("OOMKilled") else f"code {state.get('ExitCode')}"
    return InstanceState.STOPPED, f"ended with {why}"


def _address(seat: Thing) -> str:
    ports = (seat.raw.get("NetworkSettings") or {}).get("Ports") or {}
    for bound in ports.values():
        for one in bound or []:
            return f"{one['HostIp']}:{one['HostPort']}"
    return ""


def resource(thing: Thing) -> Resource:
    """Return a thing as every driver reports it."""
    return Resource(
        kind=thing.kind, id=thing.id, name=thing.name, instance=thing.instance,
        generation=thing.generation, owner=thing.labels.get(OWNER, ""), created_at=thing.created_at,
        is_running=thing.is_running,
    )  # fmt: skip


def moment(text: Any) -> datetime | None:
    """Read a time as the engine writes it, to nine digits; None for none."""
    if not isinstance(text, str) or not text or text.startswith(_NEVER):
        return None
    head, _, rest = text.partition(".")
    if rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        head, text = f"{head}.{digits[:6]:0<6}", rest[len(digits) :]
        return datetime.fromisoformat(head + text).astimezone(UTC)
    return datetime.fromisoformat(text).astimezone(UTC)


def read_json(text: str) -> Any:
    """Read a document that the engine printed."""
    return json.loads(text)
