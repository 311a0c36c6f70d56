"""How the company talks with people: its channels, and what stands behind them."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swarm.app.parts import PARTS, check_package
from swarm.app.work import Work
from swarm.channels.base import Channel
from swarm.channels.bound import SUFFIX, BoundChannel, BoundStation, is_for_customers
from swarm.channels.registry import CHANNELS
from swarm.channels.voice.config import VoiceConfig
from swarm.core.errors import ConfigError
from swarm.ledger.metered import ModelAccess
from swarm.llm import choose
from swarm.runtime.joined import JoinedMemory
from swarm.settings import FILE

if TYPE_CHECKING:
    from swarm.channels.voice.base import Transcriber
    from swarm.runtime.front import Front
    from swarm.runtime.quiet_desk import QuietDesk
    from swarm.runtime.shelter import Shelter
    from swarm.runtime.turn import Desks


class Talking(Work):
    """Channels of a company."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Return the channels that are set up; a token sets its channel up."""
        names = self.settings.channels
        remote = (*self.remote_names, *self.settings.customers.bindings)
        return (*names, *(name for name in remote if name not in names))

    @property
    def remote_names(self) -> tuple[str, ...]:
        """Return the channels of services that are set up: those that can be reached from a phone."""
        return tuple(name for name, (is_set, _) in self._remote.items() if is_set)

    @property
    def _remote(self) -> dict[str, tuple[bool, str]]:
        """Return the channels that need a service: whether each is set up, and what sets it up."""
        settings = self.settings
        return {
            "telegram": (
                settings.telegram.token is not None,
                "set SWARM_TELEGRAM__TOKEN to the token of @BotFather.",
            ),
            "slack": (
                settings.slack.is_set,
                "set SWARM_SLACK__BOT_TOKEN (xoxb-…) and SWARM_SLACK__APP_TOKEN (xapp-…).",
            ),
            "whatsapp": (
                settings.whatsapp.is_set,
                "set SWARM_WHATSAPP__TOKEN, __PHONE_ID, __APP_SECRET and __VERIFY_TOKEN.",
            ),
        }

    def channel(self, name: str) -> Channel:
        """Return a channel that needs no streams of a terminal.

        Raises:
            ConfigError: There is none of that name, or it is not set up.
        """
        if is_for_customers(name):
            return self._customers_channel(name)
        make = CHANNELS.load(name)
        if name not in self._remote:
            plain: Channel = make()
            return plain
        is_set, remedy = self._remote[name]
        if not is_set:
            raise ConfigError(f"{name}: {remedy}")
        check_package(name)
        remote: Channel = make(
            getattr(self.settings, name),
            clock=self.clock,
            station=self._station(),
            menu=PARTS.load("menu")(),
        )
        return remote

    def _station(self) -> Any:
        # Only one worker at a time holds a SQLite home: what a killed one held is its heir's at once.
        owner = self._executor_id() if self.store.is_sqlite else None
        station = PARTS.load("station")(store=self.store, clock=self.clock, owner=owner)
        if self.shelter is None:
            return station
        return PARTS.load("sheltered station")(station, self.shelter, clock=self.clock)

    @cached_property
    def shelter(self) -> "Shelter | None":
        """Return what keeps messages while a database on a server is away; None for a file."""
        if self.store.is_sqlite:
            return None
        shelter: Shelter = PARTS.load("shelter")(
            store=self.store, clock=self.clock, people=self.people, home=self.home
        )
        return shelter

    def _customers_channel(self, name: str) -> Channel:
        """Return a platform's channel on which customers write."""
        config = self.settings.customers.bindings.get(name)
        platform = name.removesuffix(SUFFIX)
        if config is None or platform not in CHANNELS.names():
            raise ConfigError(
                f"{name} is not set up: give customers.{platform} in {FILE} an account of its own."
            )
        check_package(platform)
        station = self._station()
        inner: Channel = CHANNELS.load(platform)(
            config,
            clock=self.clock,
            station=BoundStation(station, name),
            menu=PARTS.load("customers menu")(),
        )
        return BoundChannel(inner, name)

    def front(self, channels: Mapping[str, Channel]) -> "Front":
        """Return what stands between channels and desks."""
        front: Front = PARTS.load("front")(
            store=self.store,
            clock=self.clock,
            home=self.home,
            desks=self.desks,
            channels=channels,
            transcriber=self.transcriber,
            quiet=self.quiet,
            shelter=self.shelter,
            digest=PARTS.load("digest text")(
                quiet=self.quiet,
                budgets=self.settings.budget,
                founder_time=self.settings.founder_time,
                currency=self.settings.currency,
            ).write,
        )
        return front

    @cached_property
    def quiet(self) -> "QuietDesk":
        """Return who sleeps when."""
        desk: QuietDesk = PARTS.load("quiet")(clock=self.clock, config=self.settings.quiet_hours)
        return desk

    @cached_property
    def transcriber(self) -> "Transcriber | None":
        """Return what hears voice notes; None where no model for it is set."""
        voice = self.settings.voice
        if not voice.model:
            return None
        if voice.api_base:
            return self._paid_transcriber(voice)
        engine: Transcriber = PARTS.load("transcriber")(voice, cache=self.home / "cache")
        return engine

    def _paid_transcriber(self, voice: VoiceConfig) -> "Transcriber":
        """Return what sends notes to a server; each is on the books before its order is."""
        settings = self.settings
        key = voice.api_key.get_secret_value() if voice.api_key else None
        server = PARTS.load("transcriptions")(api_base=voice.api_base, api_key=key)
        access = ModelAccess(server, is_own_hardware=choose.is_loopback(voice.api_base))
        book = PARTS.load("unplaced book")(
            company_limit=settings.budget.company,
            store=self.store,
            clock=self.clock,
            currency=settings.currency,
            rates=settings.rates,
            day_limit=settings.budget.day,
            month_limit=settings.budget.month,
            counts_notional=settings.budget.notional,
        )
        metered = PARTS.load("metered voice")(
            book=book,
            prices=self.prices,
            access=lambda model: access,
            config=settings.llm,
            clock=self.clock,
            currency=settings.currency,
        )
        engine: Transcriber = PARTS.load("paid transcriber")(voice, server=server, metered=metered)
        return engine

    @cached_property
    def desks(self) -> "Desks":
        """Return the desks, each of which acts within the transaction it is given."""
        desks: Desks = PARTS.load("desks")(
            clock=self.clock,
            ids=self.ids,
            home=self.home,
            people=self.people,
            pairing=self.pairing,
            pause=self.pause,
            office=self._office_within,
            intake=self._intake_within,
            documents=self._documents_within,
            memory=lambda connection: JoinedMemory(self.memory, connection),
            roles=lambda: [(r.name, r.title) for r in self.org.roles.values()],
            service=self.service,
            hears_voice=bool(self.settings.voice.model),
            quiet=self.quiet,
            groups=frozenset(
                (*map(str, self.settings.telegram.groups), *self.settings.slack.groups)
            ),
        )
        return desks
