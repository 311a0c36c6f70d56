"""Voice notes in a replay: what writing them down cost came before there was an order.

The sound is in no recording. The call that heard it is made again all the same, as the order that
the note became pays for it: by the digest of the sound, to the recorded server.
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any

from swarm.app import PARTS, App
from swarm.channels.voice.config import VoiceConfig
from swarm.core.chat import ModelRequest
from swarm.core.errors import InvalidInput, LimitExceeded, ModelError
from swarm.core.lane import lane_of
from swarm.evals.cassette import Cassette, Entry
from swarm.evals.manifest import ModelFacts
from swarm.ledger.book import Caller, CallKey
from swarm.ledger.unplaced import MeteredVoice, take_over, unplaced
from swarm.llm.choose import is_loopback
from swarm.llm.transcription import MAX_OUTPUT_TOKENS
from swarm.runtime.transcribing import NODE, ROLE

NAME_SIGNS = 32
"""Length of the name that a note has by its sound; see `key_of`."""


def is_hearing(node: str) -> bool:
    """Say whether a line of the ledger is that of a voice note."""
    return node == NODE


def hearing_models(app: App, calls: Iterable[Any]) -> dict[str, ModelFacts]:
    """Return the models that wrote voice notes down, as a cassette tells of models."""
    voice: VoiceConfig = app.settings.voice
    facts = ModelFacts(
        is_own_hardware=bool(voice.api_base) and is_loopback(voice.api_base),
        native_tools=False,
        native_schema=False,
        max_output_tokens=MAX_OUTPUT_TOKENS,
    )
    return {row.model: facts for row in calls if is_hearing(row.node)}


def line_of(entry: Entry) -> str:
    """Return the lane under which a recorded call is asked: a note's has no order yet."""
    if not _is_of_note(entry):
        return str(entry["lane_of"])
    seq = str(entry["lane_of"]).rpartition(" ")[2]
    return lane_of(unplaced(str(_note(entry)["sha256"])), NODE, int(seq))


def _is_of_note(entry: Entry) -> bool:
    return is_hearing(str(entry["lane_of"]).partition(" ")[2].rpartition(" ")[0])


def _note(entry: Entry) -> Entry:
    """Return what a request for a transcript says of its note.

    Raises:
        InvalidInput: Nothing that a note is known by.
    """
    try:
        note: Entry = entry["request"]["messages"][0]["content"][0]
        if len(str(note["sha256"])) == NAME_SIGNS and Decimal(note["seconds"]).is_finite():
            return note
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError):
        pass
    raise InvalidInput(f"The cassette's call {entry['lane_of']} names no voice note.")


async def hear_again(app: App, cassette: Cassette) -> None:
    """Book on the order what it cost to write its voice notes down.

    Args:
        app: Where the order was placed; it is not at work yet.
        cassette: Of the order.
    """
    # Each note once, however many attempts it took.
    calls = [entry for entry in cassette.lane("model") if _is_of_note(entry)]
    recorded = {str(_note(entry)["sha256"]): entry for entry in calls}
    if not recorded:
        return
    metered = _metered(app)
    order_id = str(cassette.manifest.order["id"])
    for digest, entry in recorded.items():
        # What differs is among the misses of the model, as with any other call.
        with suppress(ModelError, LimitExceeded):
            await _ask(metered, digest, entry)
        await app.store.awrite(partial(take_over, name=digest, order_id=order_id))


def _metered(app: App) -> MeteredVoice:
    settings = app.settings
    book = PARTS.load("unplaced book")(
        company_limit=settings.budget.company,
        store=app.store,
        clock=app.clock,
        currency=settings.currency,
        rates=settings.rates,
        day_limit=settings.budget.day,
        counts_notional=settings.budget.notional,
    )
    made: MeteredVoice = PARTS.load("metered voice")(
        book=book,
        prices=app.prices,
        access=app.access,
        config=settings.llm,
        clock=app.clock,
        currency=settings.currency,
    )
    return made


async def _ask(metered: MeteredVoice, digest: str, entry: Entry) -> None:
    line, asked = unplaced(digest), entry["request"]
    is_told = "prompt_audio_seconds" in (entry.get("raw_usage") or {})
    if not is_told and entry["charge"]["status"] != "unpriced":
        # The server named no length, and yet it was priced: by the length of the sound itself.
        metered.known_seconds[line] = max(math.ceil(Decimal(_note(entry)["seconds"])), 1)
    request = ModelRequest(
        model=asked["model"],
        messages=tuple(asked["messages"]),
        max_output_tokens=MAX_OUTPUT_TOKENS,
    )
    try:
        await metered.call(CallKey(line, NODE, 0), request, Caller(ROLE, None, ""))
    finally:
        metered.forget(line)
