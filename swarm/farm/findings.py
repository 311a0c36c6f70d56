"""What differs between a place and the books, and what is to be done about it."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from swarm.core.money import CostStatus
from swarm.farm.base import Entry, Intent, Kind, Price, Resource


class Advice(StrEnum):
    """What is to be done about a difference."""

    ADOPT = "adopt"
    """It is there, it is a living instance's, and the books lack it: they are completed."""
    CLOSE = "close"
    """The books wait for the end of something that is not, or no longer, there: they are closed."""
    DELETE = "delete"
    """It is there and serves nobody: a run died before it could end it."""
    FINISH = "finish"
    """A command died half-way: run it again."""
    ALERT = "alert"
    """A person must look."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference."""

    advice: Advice
    instance: str
    kind: Kind
    name: str
    resource_id: str
    why: str
    per_day: Decimal | None
    """What it costs a day while it stays; None where it costs nothing, or nobody knows."""
    currency: str | None
    status: CostStatus | None
    """None where it costs nothing of its own."""
    is_mended: bool = False
    entry: Entry | None = None
    resource: Resource | None = None
    ends: str = ""
    """The instance whose end ends it, where that is not its own; see `mend`."""


def of(
    advice: Advice, resource: Resource, price: Price | None, why: str, *,
    entry: Entry | None = None, ends: str = "",
) -> Finding:  # fmt: skip
    """Return a finding about something that is there, with its cost."""
    return Finding(
        advice, resource.instance, resource.kind, resource.name, resource.id, why,
        None if price is None else price.per_day, None if price is None else price.currency,
        None if price is None else price.status, entry=entry, resource=resource, ends=ends,
    )  # fmt: skip


def a_finding(advice: Advice, intent: Intent, id_: str, why: str, *, entry: Entry) -> Finding:
    """Return a finding about something that the books alone have; it costs nothing."""
    return Finding(
        advice, intent.instance, intent.kind, intent.name, id_, why, None, None, None, entry=entry
    )
