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

from swarm.agents.hands import Rules
from swarm.channels.base import Channel
from swarm.channels.registry import CHANNELS
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
from swarm.runtime.documents import Documents
from swarm.runtime.embedding import MeteredEmbedder
from swarm.runtime.engine import Engine
from swarm.runtime.intake import Intake
from swarm.runtime.joined import JoinedMemory, JoinedStore
from swarm.runtime.office import Office
from swarm.runtime.pairing import Pairing
from swarm.runtime.pausing import PausableMetered, Pause
from swarm.runtime.people import People
from swarm.runtime.recalling import MemoryRecaller, Recaller
from swarm.runtime.signatures import Signatures
from swarm.runtime.worker import Worker
from swarm.sandbox.base import Sandbox
from swarm.settings import FILE, Environment, make_home
from swarm.store import schema
from swarm.store.audit import AuditChain
from swarm.store.audit_key import FILE as KEY_FILE
from swarm.store.audit_key import AuditKey
from swarm.store.database import Store
from swarm.tools.base import Tool
from swarm.tools.registry import TOOLS

if TYPE_CHECKING:
    from swarm.channels.voice.base import Transcriber
    from swarm.ledger.baseline.frozen import BaselineBook
    from swarm.runtime.front import Front
    from swarm.runtime.turn import Desks
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
        "station": "swarm.runtime.station:DatabaseStation",
        "menu": "swarm.runtime.commands:menu",
    },
)
"""What only a worker needs, loaded on first use."""

PACKAGES = {"slack": "slack_bolt", "whatsapp": "pywa"}
"""What a channel's extra brings in; asked for at the start, and imported on first use."""

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
        make = self._stage.open_store if self._stage else Store
        return make(self.environment.database_url)

    @cached_property
    def engine(self) -> Engine:
        """Return the durable engine."""
        engine: Engine = ENGINES.load("dbos")(
            self.store,
            executor_id=self._executor_id(),
            poll_s=self.settings.limits.poll_s,
            concurrency=self.settings.limits.parallel_orders,
        )
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
        )

    def worker(self, channels: Mapping[str, Channel] | None = None) -> Worker:
        """Return the worker of this home, with the channels it listens to."""
        return Worker(
            home=self.home,
            company=self.company,
            channels=channels or {},
            make_front=self.front,
            pause=self.pause,
            close_models=self.close_models,
        )

    @cached_property
    def pause(self) -> Pause:
        """Return the stop button."""
        return Pause(self.store)

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
        return (*names, *(name for name in self.remote_names if name not in names))

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
        make = CHANNELS.load(name)
        if name not in self._remote:
            plain: Channel = make()
            return plain
        is_set, remedy = self._remote[name]
        if not is_set:
            raise ConfigError(f"{name}: {remedy}")
        package = PACKAGES.get(name)
        if package is not None and find_spec(package) is None:
            raise ConfigError(f"{name} needs the package {package!r}: pip install 'swarm[{name}]'")
        remote: Channel = make(
            getattr(self.settings, name),
            clock=self.clock,
            station=PARTS.load("station")(store=self.store, clock=self.clock),
            menu=PARTS.load("menu")(),
        )
        return remote

    def front(self, channels: Mapping[str, Channel]) -> "Front":
        """Return what stands between channels and desks."""
        front: Front = PARTS.load("front")(
            store=self.store,
            clock=self.clock,
            home=self.home,
            desks=self.desks,
            channels=channels,
            transcriber=self.transcriber,
        )
        return front

    @cached_property
    def transcriber(self) -> "Transcriber | None":
        """Return what hears voice notes; None where no model for it is set."""
        if not self.settings.voice.model:
            return None
        engine: Transcriber = PARTS.load("transcriber")(
            self.settings.voice, cache=self.home / "cache"
        )
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
            hears_voice=bool(self.settings.voice.model),
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

    def initialise(self) -> bool:
        """Create or upgrade the company; True if it is new.

        Raises:
            ConfigError: The home cannot be written, or a newer version made it.
        """
        make_home(self.home)
        with self._set_up_lock():
            is_new = schema.revision(self.store) is None
            if not (self.home / FILE).exists():
                (self.home / FILE).write_text(COMPANY_YAML, encoding="utf-8")
            if schema.revision(self.store) != schema.HEAD:
                # Our revision comes last: it says that all of the set-up is done.
                self.engine.prepare()
                schema.upgrade(self.store)
        return is_new

    def check(self) -> None:
        """Refuse a home that is no company of this version.

        Raises:
            ConfigError: With the command that helps.
        """
        if not (self.home / FILE).exists() and not (self.home / "swarm.db").exists():
            raise ConfigError(f"There is no company in {self.home} yet: run `swarm init`.")
        schema.check(self.store)

    def close(self) -> None:
        """Let go of the database."""
        if "store" in self.__dict__:
            self.store.close()

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
