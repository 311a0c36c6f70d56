"""Who may see a memory, which of two counts, and what ranks before what."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from swarm.core.clock import iso
from swarm.core.errors import InvalidInput
from swarm.memory.base import INTERNAL, MemoryItem, MemoryKind, Scope, Viewer

FLOW_HALF_LIFE_DAYS = 30
HALF_LIVES: dict[MemoryKind, int] = {MemoryKind.EPISODE: 90, MemoryKind.LESSON: 365}
"""Days after which a kind is worth half; facts and preferences hold until they are replaced."""
STOCK = 0.5
"""What is simply known. What was seen in the field starts at 1 and meets this after one half-life."""
FLOOR = 0.05
"""Age never hides the only answer there is."""
QUARANTINED = 0.5
"""A stranger who fills the memory must not outrank what the company knows."""
MIN_SIMILARITY = 0.5
"""Cosine below which vectors say nothing: unrelated texts of most models lie around 0.3."""
DAY_S = 86_400
ITEM_TOKENS = 30
"""Of the lines around a rendered item: its id, age and origin."""


def may_see(item: MemoryItem, viewer: Viewer | None) -> bool:
    """Say whether a memory may be shown; the database asks the same in `rows.visible`."""
    if viewer is None:
        return item.scope is not Scope.CUSTOMER
    if viewer.is_owner:
        return True
    if viewer.customer is not None and INTERNAL in item.audience:
        return False
    roles = set(item.audience) - {INTERNAL}
    if roles and viewer.role not in roles:
        return False
    return item.scope is Scope.COMPANY or item.scope_id == owned(viewer).get(item.scope)


def owned(viewer: Viewer) -> dict[Scope, str]:
    """Return which role, person and customer a viewer stands for; those it lacks are left out."""
    own = {
        Scope.ROLE: viewer.role,
        Scope.PERSON: viewer.person,
        Scope.CUSTOMER: viewer.customer,
    }
    return {scope: name for scope, name in own.items() if name}


def is_live(item: MemoryItem, now: datetime) -> bool:
    """Say whether a memory is neither superseded nor expired."""
    return item.superseded_by is None and (item.valid_until is None or item.valid_until > now)


def observed_at(wanted: datetime | None, now: datetime) -> datetime:
    """Return when a memory was observed; a day of grace covers clocks and zones.

    Raises:
        InvalidInput: It lies in the future.
    """
    if wanted is None:
        return now
    if (wanted - now).total_seconds() > DAY_S:
        raise InvalidInput(f"{iso(wanted)} lies in the future: nothing can have been seen then.")
    return wanted


class Claim(NamedTuple):
    """What decides which memory of a subject counts; times are texts that sort as they do."""

    observed_at: str
    is_quarantined: bool
    id: str


def displaced(rows: Sequence[Claim], newcomer: str) -> dict[str, str]:
    """Say which live memories of one subject give way, as `{its id: id of the one that counts}`.

    The newest counts; of two from one moment, the newcomer. What a stranger may have said gives
    way to what is trusted, and never the other way round: else one mail could erase a fact.
    """
    best: dict[bool, Claim] = {}
    for row in sorted(rows, key=lambda r: (r.observed_at, r.id == newcomer)):
        best[row.is_quarantined] = row
    trusted, data = best.get(False), best.get(True)
    gone: dict[str, str] = {}
    for row in rows:
        if row.is_quarantined and trusted is not None and row.observed_at <= trusted.observed_at:
            gone[row.id] = trusted.id
            continue
        winner = data if row.is_quarantined else trusted
        if winner is not None and winner.id != row.id:
            gone[row.id] = winner.id
    return gone


class Traits(NamedTuple):
    """What the rank of a memory depends on besides its words."""

    kind: MemoryKind
    observed_at: datetime
    is_flow: bool
    half_life_days: int | None
    confidence: float
    importance: float
    is_quarantined: bool


def half_life(traits: Traits) -> int | None:
    """Return the days after which a memory is worth half, or None for what does not age."""
    if traits.half_life_days is not None:
        return traits.half_life_days
    return FLOW_HALF_LIFE_DAYS if traits.is_flow else HALF_LIVES.get(traits.kind)


def weight(traits: Traits, now: datetime) -> float:
    """Return what a memory is worth whatever was asked: freshness, importance and belief."""
    days = max(0.0, (now - traits.observed_at).total_seconds() / DAY_S)
    halved_after = half_life(traits)
    decay = 1.0 if halved_after is None else 0.5 ** (days / halved_after)
    return heaviest(traits) * max(FLOOR, decay)


def heaviest(traits: Any) -> float:
    """Return what a memory is worth on the day it was observed, which `weight` never passes.

    `traits` are `Traits`, or a row with columns of these names.
    """
    fresh = 1.0 if traits.is_flow else STOCK
    believed = traits.confidence * (QUARANTINED if traits.is_quarantined else 1.0)
    return float(fresh * (0.5 + traits.importance) * believed)


def matches(asked: Sequence[str], texts: Sequence[Iterable[str]]) -> list[float]:
    """Return for each candidate the share of the question that it answers, from 0 to 1.

    A term that many candidates have says little. Counted among the candidates alone, so that
    memories out of a viewer's sight change nothing that it sees.
    """
    held = [set(asked).intersection(text) for text in texts]
    counts = Counter(chain.from_iterable(held))
    worth = {term: math.log(1 + (len(texts) + 1) / (counts[term] + 1)) for term in asked}
    total = sum(worth.values()) or 1.0
    return [sum(worth[t] for t in have) / total for have in held]


def combined(words: float, cosine: float | None) -> float:
    """Return how near a memory is by its words and, where there are vectors, by its sense."""
    if cosine is None or cosine <= MIN_SIMILARITY:
        return words
    return words + (1 - words) * (cosine - MIN_SIMILARITY) / (1 - MIN_SIMILARITY)


def tokens(text: str) -> int:
    """Return a number of tokens that a rendered text does not pass, whatever the model counts.

    Three bytes a token is below every current tokenizer's average for English and French prose.
    """
    return ITEM_TOKENS + math.ceil(len(text.encode()) / 3)
