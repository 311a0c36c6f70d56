"""Record anew what changed of a recorded order, with live models, and keep the rest."""

from dataclasses import dataclass
from pathlib import Path

from swarm.app import App
from swarm.core.chat import ModelRequest, RawAnswer
from swarm.evals.cassette import Cassette
from swarm.evals.packing import content_of
from swarm.evals.recording import record
from swarm.evals.replaying import Replay, replay
from swarm.llm.base import Capabilities
from swarm.llm.cassette import Miss


class CompanyModels:
    """The models of a company as they are asked today."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.replaced: list[str] = []

    async def complete(
        self, request: ModelRequest, *, timeout_s: float, idle_timeout_s: float
    ) -> RawAnswer:
        """Ask once; see `llm.base`."""
        llm = self._app.access(request.model).llm
        return await llm.complete(request, timeout_s=timeout_s, idle_timeout_s=idle_timeout_s)

    def capabilities(self, model: str) -> Capabilities:
        """Say what a model can do."""
        return self._app.access(model).llm.capabilities(model)

    def is_own_hardware(self, model: str) -> bool:
        """Say whether a model runs on the company's own machines."""
        return self._app.access(model).is_own_hardware

    async def close(self) -> None:
        """Close every model that was asked."""
        await self._app.close_models()


@dataclass(frozen=True, slots=True)
class Update:
    """A recording brought up to date, not yet written."""

    cassette: Cassette
    played: Replay
    asked: int
    """Calls that were made for real."""
    changes: tuple[Miss, ...]
    """Where each of them differed from what was recorded."""

    @property
    def is_needed(self) -> bool:
        """Whether anything changed."""
        return bool(self.asked or not self.played.is_same)


async def update(
    cassette: Cassette,
    home: Path,
    app: App,
    *,
    known_secrets: tuple[tuple[str, str], ...] = (),
    has_live_tools: bool = False,
) -> Update:
    """Play an order; what is not recorded is asked of the company's models and recorded.

    Args:
        cassette: What was recorded before.
        home: An empty folder; see `replay`.
        app: The company whose models are asked.
        known_secrets: Are kept out of the new recording.
        has_live_tools: Make the tool calls for real, too; else one that is not recorded is a miss.

    Raises:
        Conflict: The order came to no end that can be recorded.
        InvalidInput: The new recording would hold a secret.
    """
    models = CompanyModels(app)
    made: list[Cassette] = []

    def take(played: App) -> None:
        order_id = cassette.manifest.order["id"]
        fresh = record(
            played,
            order_id,
            provenance=cassette.manifest.provenance,
            known_secrets=known_secrets,
            before=cassette.manifest,
            given={e["path"]: content_of(e) or b"" for e in cassette.lane("given")},
            salt=cassette.manifest.salt,
        )
        made.append(fresh)

    try:
        played = await replay(cassette, home, has_live_tools=has_live_tools, live=models, look=take)
    finally:
        await models.close()
    return Update(made[0], played, len(played.replaced), tuple(played.replaced))
