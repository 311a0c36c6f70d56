"""The company at work, and the desks where its people act."""

from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy.engine import Connection

from swarm.agents.hands import Rules
from swarm.app.models import Models
from swarm.app.parts import PARTS
from swarm.ledger.book import Book
from swarm.ledger.budget import convert
from swarm.ledger.effects import EffectBook
from swarm.ledger.labels import LabelBook
from swarm.memory.base import Memory
from swarm.memory.sql import SqlMemory
from swarm.runtime.company import Company
from swarm.runtime.customers import Service, folder_of
from swarm.runtime.documents import Documents
from swarm.runtime.embedding import MeteredEmbedder
from swarm.runtime.intake import Intake
from swarm.runtime.joined import JoinedMemory, JoinedStore
from swarm.runtime.office import Office
from swarm.runtime.pairing import Pairing
from swarm.runtime.pausing import PausableMetered, Pause
from swarm.runtime.people import People
from swarm.runtime.rates import RateGate
from swarm.runtime.recalling import MemoryRecaller
from swarm.runtime.signatures import Signatures
from swarm.runtime.worker_config import Rate
from swarm.store.database import Store

if TYPE_CHECKING:
    from swarm.ledger.baseline.frozen import BaselineBook
    from swarm.memory.knowledge import Knowledge


class Work(Models):
    """The company, and what people do with its orders."""

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
    def company(self) -> Company:
        """Return the company at work."""
        settings = self.settings
        book = Book(
            store=self.store,
            clock=self.clock,
            currency=settings.currency,
            rates=settings.rates,
            day_limit=settings.budget.day,
            month_limit=settings.budget.month,
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

    @cached_property
    def pause(self) -> Pause:
        """Return the stop button."""
        return self._stage.make_pause(self.store) if self._stage else Pause(self.store)

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

    def _office_within(self, connection: Connection) -> Office:
        joined = JoinedStore(self.store, connection)
        return self._office(joined, JoinedMemory(self.memory, connection))

    def _intake_within(self, connection: Connection) -> Intake:
        return self._intake(JoinedStore(self.store, connection))

    def _documents_within(self, connection: Connection) -> Documents:
        return self._documents(JoinedStore(self.store, connection))
