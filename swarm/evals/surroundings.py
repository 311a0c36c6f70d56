"""What a replay finds around it: the settings, prices, models and home that a cassette tells of."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from swarm.core.errors import InvalidInput
from swarm.evals import faults
from swarm.evals.cassette import Cassette, Entry
from swarm.evals.digests import request_key
from swarm.evals.excerpts import mcp_settings, price_book
from swarm.evals.following import Follower
from swarm.evals.homes import furnish
from swarm.evals.lanes import first_fault
from swarm.evals.packing import content_of
from swarm.evals.secrets import is_same_but_hidden
from swarm.evals.serving import LIMITS
from swarm.evals.shelves import put_skills
from swarm.evals.stage import ReplayClock, recorded_calls
from swarm.ledger.book import canonical, digest_of
from swarm.ledger.calls import is_plainly, request_of
from swarm.ledger.prices import PriceBook
from swarm.llm.base import LLM, Capabilities
from swarm.llm.cassette import CassetteLLM, Watch
from swarm.settings import Environment, Settings
from swarm.tools.workspace import listing, reading

POLL_S = 0.02
"""How often the engine looks for work."""
OUTSIDE = (
    "telegram", "slack", "whatsapp", "database_url", "channels", "mcp", "people", "founder",
    "customers", "monitoring", "voice", "quiet_hours",
)  # fmt: skip
"""Settings of which a cassette has no word, whoever wrote it: they reach out of the replay."""


class LiveModels(LLM, Protocol):
    """Models that are asked for real where a recording is brought up to date."""

    def is_own_hardware(self, model: str) -> bool:
        """Say whether a model runs on the company's own machines."""


def digests_of(workspace: Path) -> dict[str, str]:
    """Return the SHA-256 of all files of a workspace, by path."""
    found = {}
    for name, _ in listing(workspace).files:
        with reading(workspace, name) as descriptor, os.fdopen(os.dup(descriptor), "rb") as stream:
            found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def models_of(
    cassette: Cassette,
    clock: ReplayClock,
    put_in: Mapping[int, Sequence[str]],
    watch: Watch | None,
    live: LiveModels | None,
    follower: Follower,
) -> CassetteLLM:
    """Return what answers in the place of the models."""
    salt = cassette.manifest.salt
    return CassetteLLM(
        recorded_calls(cassette),
        capabilities={
            name: Capabilities(**known.model_dump(exclude={"is_own_hardware"}))
            for name, known in cassette.manifest.models.items()
        },
        digest=lambda request: request_key(digest_of(canonical(request)), salt),
        readable=request_of,
        is_plainly=is_plainly,
        pass_time=clock.pass_time,
        pass_for=clock.pass_for,
        matches=is_same_but_hidden,
        faults={n: [faults.error_of(name) for name in names] for n, names in put_in.items()},
        watch=watch,
        live=live,
        gate=follower.gate if follower.is_needed else None,
    )


def is_own(cassette: Cassette, model: str, live: LiveModels | None) -> bool:
    """Say whether a model ran on the company's own machines."""
    known = cassette.manifest.models.get(model)
    if known is None:
        return live is not None and live.is_own_hardware(model)
    return known.is_own_hardware


def prices_of(cassette: Cassette, settings: Settings, live: LiveModels | None) -> PriceBook:
    """Return the price book that the order was recorded under.

    Raises:
        InvalidInput: The books in the cassette are none.
    """
    try:
        return price_book(cassette.manifest.books, settings, has_all=live is not None)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise InvalidInput(f"The cassette's price books are none: {error!r}.") from error


def environment_of(cassette: Cassette, home: Path) -> Environment:
    """Return the recorded settings, without any that reach out of the replay.

    Raises:
        InvalidInput: They are none of this version's.
    """
    told = cassette.manifest.settings
    document: Entry = {key: value for key, value in told.items() if key not in OUTSIDE}
    try:
        # Nothing in a replay needs to be waited for.
        document["llm"] = {**document["llm"], "backoff_s": 0, "api_base": None, "stream": False}
        document["limits"] = {**document["limits"], "poll_s": POLL_S}
        document["mcp"] = mcp_settings(cassette.manifest)
        document["channels"] = []
        document["customers"] = (
            {key: told["customers"][key] for key in LIMITS} if (cassette.manifest.customer) else {}
        )
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise InvalidInput(
            f"The cassette's settings are none of this Swarm's: {first_fault(error)}. "
            "Record the order again with this version."
        ) from error
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"The cassette's settings lack a section: {error}.") from error
    return Environment(home=home, settings=settings, provider_keys=(), user="founder", user_id="0")


def write_home(home: Path, cassette: Cassette, *, is_in_house: bool) -> None:
    """Put into a home what the order found there; what lies there already counts before it."""
    if not is_in_house:
        furnish(home)
    if cassette.manifest.mcp.lock:
        (home / "mcp.lock").write_text(json.dumps(cassette.manifest.mcp.lock), encoding="utf-8")
    put_skills(home, cassette.manifest)
    _put_given(home / "workspace" / cassette.manifest.order["id"], cassette)
    folder = home / "roles"
    for name, text in cassette.manifest.roles.items():
        path = folder / f"{name}.md"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _put_given(workspace: Path, cassette: Cassette) -> None:
    """Put the first files where they lay. Their paths were checked when the cassette was read."""
    for entry in cassette.lane("given"):
        target = workspace / entry["path"]
        data = content_of(entry)
        if data is not None and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
