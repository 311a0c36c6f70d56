"""Where concrete classes meet. Nobody else names them."""

import fcntl
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from swarm import __version__
from swarm.agents.hands import Rules
from swarm.channels.base import Channel
from swarm.channels.bound import SUFFIX, BoundChannel, BoundStation, is_for_customers
from swarm.channels.registry import CHANNELS
from swarm.channels.voice.config import VoiceConfig
from swarm.core.clock import Clock, SystemClock
from swarm.core.errors import ConfigError
from swarm.core.ids import Ids, RandomIds
from swarm.core.registry import Registry
from swarm.core.role import MCP_PREFIX, Role
from swarm.ledger.book import Book
from swarm.ledger.budget import convert
from swarm.ledger.effects import EffectBook
from swarm.ledger.labels import LabelBook
from swarm.ledger.metered import ModelAccess
from swarm.ledger.prices import PriceBook
from swarm.llm import choose
from swarm.llm.base import LLM
from swarm.llm.registry import MODELS, adapter_name
from swarm.memory.base import Memory
from swarm.memory.sql import SqlMemory
from swarm.org.loader import Org, builtin_roles, load_org
from swarm.runtime.company import Company, Kit
from swarm.runtime.customers import Service, folder_of
from swarm.runtime.documents import Documents
from swarm.runtime.embedding import MeteredEmbedder
from swarm.runtime.engine import Engine, Lanes
from swarm.runtime.intake import Intake
from swarm.runtime.joined import JoinedMemory, JoinedStore
from swarm.runtime.lock import holder
from swarm.runtime.office import Office
from swarm.runtime.pairing import Pairing
from swarm.runtime.pausing import PausableMetered, Pause
from swarm.runtime.people import People
from swarm.runtime.rates import RateGate
from swarm.runtime.recalling import MemoryRecaller, Recaller
from swarm.runtime.signatures import Signatures
from swarm.runtime.worker_config import Rate
from swarm.sandbox.base import Sandbox
from swarm.settings import FILE, Environment, make_home
from swarm.store import companies, fresh, roles, schema
from swarm.store.audit import AuditChain
from swarm.store.audit_key import FILE as KEY_FILE
from swarm.store.audit_key import AuditKey
from swarm.store.database import Store, sqlite_url
from swarm.tools.base import Tool
from swarm.tools.registry import TOOLS

if TYPE_CHECKING:
    import asyncio

    from swarm.channels.voice.base import Transcriber
    from swarm.ledger.baseline.frozen import BaselineBook
    from swarm.memory.knowledge import Knowledge
    from swarm.runtime.doorman import Doorman
    from swarm.runtime.doorman_watch import Watch
    from swarm.runtime.doorman_worker import Command
    from swarm.runtime.front import Front
    from swarm.runtime.heartbeat import Life
    from swarm.runtime.monitoring import Monitor
    from swarm.runtime.quiet_desk import QuietDesk
    from swarm.runtime.reaper import Reaper
    from swarm.runtime.seat import Seat
    from swarm.runtime.turn import Desks
    from swarm.runtime.worker import Worker
    from swarm.tools.mcp import McpServers
    from swarm.tools.skills import SkillShelf

ENGINES = Registry("engine", {"dbos": "swarm.runtime.dbos_engine:DbosEngine"})
PARTS = Registry(
    "part",
    {
        "web": "swarm.tools.http:WebClient",
        "skills": "swarm.tools.skill_lock:open_shelf",
        "mcp": "swarm.tools.mcp:McpServers",
        "sandbox": "swarm.sandbox.choose:choose",
        "baselines": "swarm.ledger.baseline.frozen:BaselineBook",
        "desks": "swarm.runtime.turn:Desks",
        "front": "swarm.runtime.front:Front",
        "transcriber": "swarm.channels.voice.whisper:WhisperTranscriber",
        "paid transcriber": "swarm.runtime.transcribing:PaidTranscriber",
        "transcriptions": "swarm.llm.transcription:Transcriptions",
        "unplaced book": "swarm.ledger.unplaced:UnplacedBook",
        "metered voice": "swarm.ledger.unplaced:MeteredVoice",
        "station": "swarm.runtime.station:DatabaseStation",
        "menu": "swarm.runtime.commands:menu",
        "customers menu": "swarm.runtime.customers_desk:menu",
        "knowledge": "swarm.memory.knowledge:Knowledge",
        "quiet": "swarm.runtime.quiet_desk:QuietDesk",
        "digest text": "swarm.runtime.digest_text:DigestText",
        "worker": "swarm.runtime.worker:Worker",
        "doorman": "swarm.runtime.doorman:Doorman",
        "deaths": "swarm.runtime.doorman_deaths:Deaths",
        "is quiet": "swarm.runtime.dbos_engine:is_quiet",
        "home seat": "swarm.runtime.seat:HomeSeat",
        "lent seat": "swarm.runtime.seat:LentSeat",
        "cluster seat": "swarm.runtime.cluster_seat:ClusterSeat",
        "at work": "swarm.runtime.cluster_seat:at_work",
        "claim home": "swarm.runtime.shared_home:claim",
        "reaper": "swarm.runtime.reaper:Reaper",
        "reaped": "swarm.runtime.recoveries:actions",
        "monitor": "swarm.runtime.monitoring:Monitor",
        "vitals": "swarm.runtime.vitals:Vitals",
    },
)
"""What only a worker needs, loaded on first use."""

PACKAGES = {"slack": "slack_bolt", "whatsapp": "pywa"}
"""What a channel's extra brings in; asked for at the start, and imported on first use."""

SHARED_POLL_S = 1.0
"""How often a worker looks for new orders on a Postgres, in seconds, unless the settings say."""

COMPANY_YAML = """\
# What this company is. Every key may also be set in the environment: SWARM_BUDGET__ORDER=5.
name: My company
currency: USD
budget:
  order: 10       # the most one order may spend on model calls
  day: 50         # all orders together, each UTC day
  sign_above: 5   # a plan that may cost more needs your signature
# llm:
#   model: anthropic/claude-sonnet-4-5   # unset: found by your keys, local servers, embedded model
"""


@dataclass(frozen=True)
class Stage:
    """What stands in for the world outside while an order is played again."""

    llm: LLM
    is_own_hardware: Callable[[str], bool]
    recaller: Recaller
    wrap: Callable[[Tool], Tool]
    """Return what stands in for a tool, or the tool itself."""
    new_nonce: Callable[[], str]
    prices: PriceBook | None = None
    """The price book of the day; None is this version's."""
    baselines: "Callable[[BaselineBook], BaselineBook] | None" = None
    """Return what stands in for the book of human baselines; None is the book itself."""
    mcp_tools: frozenset[str] = frozenset()
    """Tools of MCP servers that are offered; no server is started for them."""
    has_sandbox: bool = False
    """Whether commands really run."""
    open_store: Callable[[str], Store] = Store
    engine: Engine | None = None
    """An engine that stands already; None makes one."""
    make_pause: Callable[[Store], Pause] = Pause
    """Return the stop button, which every model call passes before it is on the books."""


class App:
    """One company, opened from its home. Parts are made when they are first needed."""

    def __init__(
        self,
        environment: Environment,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        stage: Stage | None = None,
    ) -> None:
        """Take what the company is made of.

        Args:
            environment: Home and settings.
            clock: Tells the time; the machine's by default.
            ids: Make identifiers; random by default.
            stage: Stands in for models, tools and memory where an order is played again.
        """
        self._stage = stage
        self.environment = environment
        self.settings = environment.settings
        self.home = environment.home
        self.clock: Clock = clock or SystemClock()
        self.ids: Ids = ids or RandomIds()
        self._llms: dict[str, LLM] = {}

    @cached_property
    def store(self) -> Store:
        """Return the company's database."""
        url = self.environment.database_url
        if self._stage is not None:
            return self._stage.open_store(url)
        return Store(url, company=self.settings.company)

    @cached_property
    def owner(self) -> Store:
        """Return the database by the role that owns its tables; most often it is the same one."""
        url = self.environment.owner_url
        is_same = url == self.environment.database_url
        return self.store if is_same else Store(url, company=self.settings.company)

    @cached_property
    def engine(self) -> Engine:
        """Return the durable engine."""
        if self._stage is not None and self._stage.engine is not None:
            return self._stage.engine
        engine: Engine = ENGINES.load("dbos")(
            self.store,
            executor_id=self._executor_id() if self.store.is_sqlite else "",
            poll_s=self._poll_s,
            concurrency=self.concurrency,
            lanes=Lanes(
                per_lane=self.settings.worker.per_person, in_all=self.settings.worker.in_all
            ),
        )
        if self.store.is_sqlite:
            own: Any = engine
            own.after_death(lambda name: self._reaper(own).take_over(name))
        return engine

    @cached_property
    def choice(self) -> choose.Choice:
        """Return which model serves, and why; may ask local servers."""
        return choose.choose(
            self.settings.llm,
            keys=self.environment.provider_keys,
            probe=choose.probe_server,
            has_local=choose.local_extra_installed(),
        )

    @property
    def model_sentence(self) -> str:
        """Say which model serves, as far as that is known without asking a server."""
        llm = self.settings.llm
        is_known = llm.model or llm.api_base or self.environment.provider_keys
        if is_known or "choice" in self.__dict__:
            return self.choice.sentence
        return "Model: looked for at the first order, since none is set and no key was found."

    @cached_property
    def org(self) -> Org:
        """Return the roles; raises ConfigError with every mistake in them."""
        return load_org(
            builtin_roles(), self.home / "roles", known_tools=TOOLS.names(), known_model=None
        )

    @cached_property
    def prices(self) -> PriceBook:
        """Return the price book with the company's own prices."""
        if self._stage is not None and self._stage.prices is not None:
            return self._stage.prices
        folder = self.home / "prices"
        return PriceBook.load(overrides=self.settings.prices, folder=folder)

    @cached_property
    def memory(self) -> SqlMemory:
        """Return what the company remembers."""
        model = self.settings.memory.embedding_model
        return SqlMemory(
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            tombstone=self._tombstone,
            embedder=MeteredEmbedder(model, lambda: self.company.metered) if model else None,
        )

    @cached_property
    def documents(self) -> Documents:
        """Return the reader of orders."""
        return self._documents(self.store)

    def _documents(self, store: Store) -> Documents:
        return Documents(
            store=store,
            clock=self.clock,
            home=self.home,
            currency=self.settings.currency,
            rates=self.settings.rates,
            founder_time=self.settings.founder_time,
        )

    @cached_property
    def intake(self) -> Intake:
        """Return where orders come in."""
        return self._intake(self.store)

    def _intake(self, store: Store) -> Intake:
        return Intake(
            store=store,
            engine=self.engine,
            clock=self.clock,
            ids=self.ids,
            currency=self.settings.currency,
            budgets=self.settings.budget,
        )

    @cached_property
    def office(self) -> Office:
        """Return where people act on orders."""
        return self._office(self.store, self.memory)

    def _office(self, store: Store, memory: Memory) -> Office:
        return Office(
            store=store,
            engine=self.engine,
            clock=self.clock,
            memory=memory,
            signatures=self.signatures,
            currency=self.settings.currency,
        )

    @cached_property
    def signatures(self) -> Signatures:
        """Return where people sign calls, and rules in advance."""
        return Signatures(store=self.store, clock=self.clock, ids=self.ids, audit=self.audit)

    @cached_property
    def audit(self) -> AuditChain:
        """Return the audit chain, with the key that signs its heads."""
        key = AuditKey.load_or_create(self.home / KEY_FILE)
        return AuditChain(clock=self.clock, key=key)

    @cached_property
    def baselines(self) -> "BaselineBook":
        """Return the book of human baselines; raises ConfigError for a country it does not know."""
        book: BaselineBook = PARTS.load("baselines")(
            audit=self.audit,
            config=self.settings.baseline,
            company_currency=self.settings.currency,
        )
        stand_in = self._stage.baselines if self._stage else None
        return stand_in(book) if stand_in else book

    @cached_property
    def rules(self) -> Rules:
        """Return what people decided about tools."""
        return Rules(
            policy=self.settings.policy,
            labels=LabelBook(store=self.store, clock=self.clock),
            max_handoffs=self.settings.limits.delegations,
            **({"new_nonce": self._stage.new_nonce} if self._stage else {}),
        )

    @cached_property
    def kit(self) -> Kit:
        """Return what tools work with."""
        return Kit(
            choose_sandbox=self._choose_sandbox,
            web=PARTS.load("web")(self.settings.web),
            skills=self.skills,
            clock=self.clock,
        )

    @cached_property
    def skills(self) -> "SkillShelf":
        """Return the shipped skills and the company's own, which a person approved."""
        shelf: SkillShelf = PARTS.load("skills")(self.home)
        return shelf

    @cached_property
    def mcp(self) -> "McpServers":
        """Return the MCP servers; each starts when a role first needs it."""
        servers: McpServers = PARTS.load("mcp")(self.settings.mcp, self.home / "mcp.lock")
        return servers

    async def _choose_sandbox(self) -> Sandbox | None:
        if self._stage is not None and not self._stage.has_sandbox:
            return None
        choice = await PARTS.load("sandbox")()
        sandbox: Sandbox | None = choice.sandbox
        return sandbox

    @cached_property
    def company(self) -> Company:
        """Return the company at work."""
        settings = self.settings
        book = Book(
            store=self.store,
            clock=self.clock,
            currency=settings.currency,
            rates=settings.rates,
            day_limit=settings.budget.day,
            counts_notional=settings.budget.notional,
        )
        return Company(
            home=self.home,
            currency=settings.currency,
            store=self.store,
            engine=self.engine,
            clock=self.clock,
            ids=self.ids,
            org=self.org,
            metered=PausableMetered(
                pause=self.pause,
                book=book,
                prices=self.prices,
                access=self.access,
                config=settings.llm,
                clock=self.clock,
                currency=settings.currency,
                gate=self._gate,
            ),
            book=book,
            prices=self.prices,
            effects=EffectBook(store=self.store, clock=self.clock, audit=self.audit),
            memory=self.memory,
            recaller=self._stage.recaller if self._stage else MemoryRecaller(self.memory),
            budget=settings.budget,
            hosting=settings.hosting,
            limits=settings.limits,
            default_model=lambda: self.choice.model,
            load_tools=self.load_tools,
            load_baselines=lambda: self.baselines,
            rules=self.rules,
            kit=self.kit,
            to_company=lambda amount, currency: convert(
                amount, currency, settings.currency, settings.rates
            ),
            service=self.service,
        )

    @cached_property
    def service(self) -> Service:
        """Return how customers are served."""
        config = self.settings.customers
        return Service(
            config=config,
            company=self.settings.name,
            home=self.home,
            clock=self.clock,
            ids=self.ids,
            people=self.people,
            intake=self._intake_within,
            knowledge=lambda: self.knowledge,
        )

    @cached_property
    def knowledge(self) -> "Knowledge":
        """Return what customers may be told; its files are read when the first of them asks."""
        shelf: Knowledge = PARTS.load("knowledge")(folder_of(self.settings.customers, self.home))
        return shelf

    @property
    def _gate(self) -> RateGate | None:
        rates = self.settings.worker.rates
        if not rates or self._stage is not None:
            return None
        return RateGate(self.store, {name: Rate.parse(text) for name, text in rates.items()})

    @property
    def concurrency(self) -> int:
        """Return how many orders this process works at the same time."""
        return self.settings.worker.concurrency or self.settings.limits.parallel_orders

    @property
    def _poll_s(self) -> float:
        limits = self.settings.limits
        # Every look of every worker is a query of one server: unless told, fewer of them.
        is_told = self.store.is_sqlite or "poll_s" in limits.model_fields_set
        return limits.poll_s if is_told else SHARED_POLL_S

    @property
    def works_for(self) -> str:
        """Say who works this company now, as words in a sentence; empty where nobody does."""
        if self.store.is_sqlite:
            pid = holder(self.home)
            return "" if pid is None else f"the worker with process id {pid or 'unknown'}"
        at_work: Callable[..., list[str]] = PARTS.load("at work")
        names = at_work(self.store, within_s=self.settings.worker.stale_s)
        if len(names) > 1:
            return f"one of the workers {', '.join(names)}"
        return f"the worker {names[0]}" if names else ""

    def seat(self, *, is_front: bool) -> "Seat":
        """Return the right to work: one worker a home, or many on a Postgres."""
        if self.store.is_sqlite:
            home_seat: Seat = PARTS.load("home seat")(self.home)
            return home_seat
        engine: Any = self.engine
        seat: Seat = PARTS.load("cluster seat")(
            store=self.store,
            engine=engine,
            reaper=self._reaper(engine),
            clock=self.clock,
            name=self.settings.worker.name,
            concurrency=self.concurrency,
            version=engine.version,
            is_front=is_front,
            takes_orders=self.settings.worker.takes_orders,
            stale_s=self.settings.worker.stale_s,
        )
        return seat

    def _reaper(self, engine: Any) -> "Reaper":
        """Return who sees to what dead workers left."""
        reaper: Reaper = PARTS.load("reaper")(
            store=self.store,
            engine=engine,
            clock=self.clock,
            ids=self.ids,
            stale_s=self.settings.worker.stale_s,
            version=engine.version,
        )
        return reaper

    @property
    def works_apart(self) -> bool:
        """Say whether `swarm up` works orders in a process of their own."""
        is_own = self.settings.worker.process == "own" and self.settings.worker.takes_orders
        return self.store.is_sqlite and is_own

    def doorman(
        self,
        channels: Mapping[str, Channel],
        *,
        command: "Command",
        watch: "Watch",
        room: "asyncio.Semaphore | None" = None,
    ) -> "Doorman":
        """Return who listens to the channels, and keeps a worker while there is work.

        Args:
            channels: By name.
            command: Starts a worker, which then calls `lent_worker`.
            watch: Tells of commits; run by the caller.
            room: Holds as many workers as this machine has room for; None is no limit.

        Raises:
            ConfigError: With every mistake in the roles.
        """
        deaths = PARTS.load("deaths")(
            store=self.store, clock=self.clock, people=self.people, channels=channels
        )
        # Their faults are to be told at the start, and not by the first order.
        self.org  # noqa: B018
        doorman: Doorman = PARTS.load("doorman")(
            home=self.home,
            store=self.store,
            clock=self.clock,
            hosting=self.settings.hosting,
            channels=channels,
            make_front=self.front,
            is_quiet=PARTS.load("is quiet"),
            told=deaths.tell,
            command=command,
            watch=watch,
            monitor=self.monitor,
            room=room,
        )
        return doorman

    def lent_worker(self, lock: int, life: "Life", *, at_rest: Callable[[], None]) -> "Worker":
        """Return a worker that a doorman started.

        Args:
            lock: The open file of the home's lock, which the doorman holds too.
            life: Gives the doorman a sign of life.
            at_rest: Called when there was no work for as long as the settings say.
        """
        engine: Any = self.engine
        engine.end_at_rest(self.settings.worker.idle_s, at_rest)
        worker: Worker = PARTS.load("worker")(
            seat=PARTS.load("lent seat")(lock),
            home=self.home,
            company=self.company,
            channels={},
            make_front=self.front,
            pause=self.pause,
            close_models=self.close_models,
            life=life,
        )
        return worker

    def worker(self, channels: Mapping[str, Channel] | None = None) -> "Worker":
        """Return the worker of this home, with the channels it listens to.

        Raises:
            ConfigError: It is to take no orders, and no other process can.
        """
        takes_orders = self.settings.worker.takes_orders
        if not takes_orders and self.store.is_sqlite:
            raise ConfigError(
                "`--no-work` (worker.takes_orders) needs a Postgres: on one SQLite home the process "
                "that listens is the one that works."
            )
        worker: Worker = PARTS.load("worker")(
            seat=self.seat(is_front=bool(channels)),
            takes_orders=takes_orders,
            home=self.home,
            company=self.company,
            channels=channels or {},
            make_front=self.front,
            pause=self.pause,
            close_models=self.close_models,
            monitor=self.monitor,
        )
        return worker

    @cached_property
    def monitor(self) -> "Monitor | None":
        """Return what answers those who watch the worker; None where nothing is to listen."""
        config = self.settings.monitoring
        if not config.listen:
            return None
        vitals = PARTS.load("vitals")(
            store=self.store,
            clock=self.clock,
            version=__version__,
            reaped=None if self.store.is_sqlite else PARTS.load("reaped"),
        )
        monitor: Monitor = PARTS.load("monitor")(config, vitals=vitals, store=self.store)
        return monitor

    @cached_property
    def pause(self) -> Pause:
        """Return the stop button."""
        return self._stage.make_pause(self.store) if self._stage else Pause(self.store)

    @cached_property
    def quiet(self) -> "QuietDesk":
        """Return who sleeps when."""
        desk: QuietDesk = PARTS.load("quiet")(clock=self.clock, config=self.settings.quiet_hours)
        return desk

    @cached_property
    def people(self) -> People:
        """Return who may do what; the settings' founders are always among them."""
        settings = self.settings
        founders: dict[str, list[str]] = {
            "telegram": [str(number) for number in settings.telegram.founders],
            "slack": list(settings.slack.founders),
            "whatsapp": list(settings.whatsapp.founders),
        }
        return People(clock=self.clock, ids=self.ids, fixed=founders)

    @cached_property
    def pairing(self) -> Pairing:
        """Return the codes by which strangers become known."""
        return Pairing(clock=self.clock, people=self.people)

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
        _check_package(name)
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
        return PARTS.load("station")(store=self.store, clock=self.clock, owner=owner)

    def _customers_channel(self, name: str) -> Channel:
        """Return a platform's channel on which customers write."""
        config = self.settings.customers.bindings.get(name)
        platform = name.removesuffix(SUFFIX)
        if config is None or platform not in CHANNELS.names():
            raise ConfigError(
                f"{name} is not set up: give customers.{platform} in {FILE} an account of its own."
            )
        _check_package(platform)
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
            digest=PARTS.load("digest text")(
                quiet=self.quiet,
                budgets=self.settings.budget,
                founder_time=self.settings.founder_time,
                currency=self.settings.currency,
            ).write,
        )
        return front

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

    def _office_within(self, connection: Connection) -> Office:
        joined = JoinedStore(self.store, connection)
        return self._office(joined, JoinedMemory(self.memory, connection))

    def _intake_within(self, connection: Connection) -> Intake:
        return self._intake(JoinedStore(self.store, connection))

    def _documents_within(self, connection: Connection) -> Documents:
        return self._documents(JoinedStore(self.store, connection))

    def _tombstone(self, connection: Connection, memory_id: str, digest: str, by: str) -> None:
        """Write into the audit chain that a memory was forgotten; its text is in no row."""
        self.audit.append(
            connection,
            kind="memory_forgotten",
            order_id=None,
            actor=by,
            initiator=None,
            approver=by,
            body={"memory": memory_id, "record_sha256": digest},
        )

    async def load_tools(self, role: Role) -> dict[str, Tool]:
        """Return the tools a role declares, ready to use."""
        named = [name for name in role.tools if not name.startswith(MCP_PREFIX)]
        tools: dict[str, Tool] = {name: TOOLS.load(name)() for name in named}
        foreign = [name for name in role.tools if name.startswith(MCP_PREFIX)]
        if self._stage is not None:
            known = self.mcp.tools(foreign) if foreign and self.settings.mcp.servers else {}
            tools |= {n: tool for n, tool in known.items() if n in self._stage.mcp_tools}
            return {name: self._stage.wrap(tool) for name, tool in tools.items()}
        if foreign and self.settings.mcp.servers:
            tools |= await self.mcp.offered(foreign)
        return tools

    def access(self, model: str) -> ModelAccess:
        """Return the adapter of a model, made on first use."""
        if self._stage is not None:
            own = self._stage.is_own_hardware(model)
            return ModelAccess(self._stage.llm, is_own_hardware=own)
        is_vectors = model == self.settings.memory.embedding_model
        name = "embedding" if is_vectors else adapter_name(model)
        if name not in self._llms:
            config = self.settings.llm.model_copy(update={"api_base": self.choice.api_base})
            extra: dict[str, Any] = {"cache": self.home / "cache"} if name == "local" else {}
            self._llms[name] = MODELS.load(name)(config, **extra)
        # An own server serves every model of its adapter: all of them go to its address.
        is_own = self.choice.is_own_hardware and adapter_name(model) == adapter_name(
            self.choice.model
        )
        return ModelAccess(self._llms[name], is_own_hardware=is_own)

    async def close_models(self) -> None:
        """Close every model adapter and MCP server that was used."""
        while self._llms:
            _, llm = self._llms.popitem()
            await llm.close()
        if "mcp" in self.__dict__:
            await self.mcp.close()

    def initialise(self, *, set_up: Callable[[], None] | None = None) -> bool:
        """Create or upgrade the company; True if it is new.

        Args:
            set_up: Does what `set_up` does in another process, so that this one need not load what
                makes tables; None does it here.

        Raises:
            ConfigError: The home cannot be written, or a newer version made it.
        """
        make_home(self.home)
        with self._set_up_lock():
            if not self.store.is_sqlite:
                return self._initialise_shared()
            is_new = self._has_fresh_database() or schema.revision(self.store) is None
            if not (self.home / FILE).exists():
                (self.home / FILE).write_text(COMPANY_YAML, encoding="utf-8")
            if schema.revision(self.store) != schema.HEAD:
                (set_up or self.set_up)()
        return is_new

    def set_up(self) -> None:
        """Create or upgrade the tables of a SQLite home; for whoever holds its lock of setting up."""
        # Our revision comes last: it says that all of the set-up is done.
        self.engine.prepare()
        schema.upgrade(self.store)

    def _has_fresh_database(self) -> bool:
        """Say whether a ready-made database was put in place just now."""
        path = self.home / "swarm.db"
        return self.environment.database_url == sqlite_url(path) and fresh.place(path)

    def _initialise_shared(self) -> bool:
        """Create the company on a shared database; one that exists is left to `swarm db upgrade`."""
        if not (self.home / FILE).exists():
            (self.home / FILE).write_text(COMPANY_YAML, encoding="utf-8")
        found = schema.revision(self.owner)
        is_new = found is None or not self.owner.read(
            lambda connection: companies.is_there(connection, self.settings.company)
        )
        if is_new and found in (None, schema.HEAD):
            self.upgrade()
        schema.check(self.store)
        PARTS.load("claim home")(self.home, self.store)
        return is_new

    def upgrade(self) -> str | None:
        """Bring a shared database to this version's schema; return the revision that was found.

        Raises:
            ConfigError: It is from a newer version.
        """
        address = self.environment.database_url

        def before() -> None:
            role = self.owner.write(self._admit)
            self.engine.prepare_shared(self.owner, role=role)

        return schema.upgrade(self.owner, before=before, after=lambda c: roles.grant(c, address))

    def _admit(self, connection: Connection) -> str | None:
        """Make the role that works; refuse one that would mix companies up."""
        address = self.environment.database_url
        every = {*companies.known(connection), self.settings.company}
        roles.refuse_mixing(connection, address, every)
        return roles.make(connection, address)

    def check(self) -> None:
        """Refuse a home that is no company of this version.

        Raises:
            ConfigError: With the command that helps.
        """
        is_there = (self.home / FILE).exists() or (self.home / "swarm.db").exists()
        if self.store.is_sqlite and not is_there:
            raise ConfigError(f"There is no company in {self.home} yet: run `swarm init`.")
        schema.check(self.store)

    def close(self) -> None:
        """Let go of the database."""
        for name in ("store", "owner"):
            if name in self.__dict__:
                getattr(self, name).close()

    def _executor_id(self) -> str:
        """Return this home's name for its worker, the same over restarts."""
        path = self.home / "executor-id"
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            make_home(self.home)
            fresh = f"home-{uuid.uuid4().hex[:12]}"
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(fresh, encoding="ascii")
            try:
                # A link fails where another process was first, a rename would not.
                path.hardlink_to(temporary)
            except FileExistsError:
                return path.read_text(encoding="ascii").strip()
            finally:
                temporary.unlink()
            return fresh

    def _set_up_lock(self) -> "_FileLock":
        return _FileLock(self.home / "setup.lock")


def _check_package(platform: str) -> None:
    package = PACKAGES.get(platform)
    if package is not None and find_spec(package) is None:
        raise ConfigError(
            f"{platform} needs the package {package!r}: pip install 'swarm[{platform}]'"
        )


@dataclass
class _FileLock:
    """Let one process at a time set a home up."""

    path: Path
    _fd: int | None = None

    def __enter__(self) -> None:
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{self.path.parent} cannot be written: {error.strerror}.") from error
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)


def build(environment: Environment) -> App:
    """Open the company of an environment. Reads nothing until a part is asked for."""
    return App(environment)
