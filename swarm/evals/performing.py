"""Perform a scenario whose answers a person wrote: the app as in production, the founder on cue."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from swarm.app import App, Stage
from swarm.core.clock import parse_iso
from swarm.core.errors import InvalidInput, SwarmError, ToolError
from swarm.core.ids import ALPHABET
from swarm.core.message import InboundMessage
from swarm.core.order import OrderStatus
from swarm.core.origin import Origin
from swarm.evals.authored import AuthoredLLM
from swarm.evals.causal import CausalClock
from swarm.evals.homes import furnish
from swarm.evals.house import House
from swarm.evals.scenario import OrderScript, Remembered, Scenario, Word
from swarm.ledger.book import FAILED, USED
from swarm.ledger.prices import PriceBook
from swarm.memory.base import Detail, MemoryKind, Scope, Viewer
from swarm.runtime.intake import Wish
from swarm.runtime.recalling import MemoryRecaller
from swarm.runtime.recalling import Remembered as Recalled
from swarm.sandbox.base import Sandbox
from swarm.settings import Environment, Settings
from swarm.store.tables import ledger
from swarm.tools.base import Effect, Tool, ToolContext, ToolResult

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
"""When every authored order comes: a Monday, on which all prices of the book hold."""
DEFAULT_MODEL = "anthropic/claude-sonnet-4-5"
"""Whose prices the authored answers are charged at, unless the scenario names another."""
LOOK_S = 0.005
STUCK_S = 60.0
"""How long an order may stay without a halt; nothing here waits for anybody."""
_SAID = "words-said.json"

_MAY: Mapping[str, tuple[OrderStatus, ...]] = {
    "answer": (OrderStatus.WAITING,),
    "choose": (OrderStatus.WAITING,),
    "approve": (OrderStatus.WAITING,),
    "reject": (OrderStatus.WAITING, OrderStatus.DELIVERED),
    "accept": (OrderStatus.DELIVERED,),
    "resume": (OrderStatus.PARKED, OrderStatus.FAILED),
    "budget": (OrderStatus.PARKED,),
    "cancel": (OrderStatus.WAITING, OrderStatus.PARKED),
    "deploy": tuple(OrderStatus),
}
"""At which halts each word means something."""


@dataclass
class Performed:
    """What came of a performance."""

    order_ids: tuple[str, ...]
    problems: list[str] = field(default_factory=list)
    """Answers that were missing or left over, words that came to nothing."""
    calls: int = 0
    wall_s: float = 0.0


def order_id_of(number: int) -> str:
    """Return the id that the order of a number, from 1, has in every performance."""
    return "o" + _signs(number, 7)


def _signs(number: int, width: int) -> str:
    signs = ""
    for _ in range(width):
        number, sign = divmod(number, len(ALPHABET))
        signs = ALPHABET[sign] + signs
    return signs


class ScriptIds:
    """Identifiers in one order; a process that takes over after another has its own."""

    def __init__(self, run: int) -> None:
        """Take how often the work was taken over."""
        self._run = run
        self._counts: dict[str, int] = {}

    def new(self, prefix: str) -> str:
        """Return the next identifier of its kind."""
        number = self._counts.get(prefix, 0)
        self._counts[prefix] = number + 1
        if prefix == "o":
            return order_id_of(number + 1)
        return prefix + _signs(self._run, 2) + _signs(number, 5)

    def nonce(self) -> str:
        """Return the next nonce: nobody outside can answer a request of a performance."""
        number = self._counts["nonce"] = self._counts.get("nonce", 0) + 1
        return f"{self._run:08x}{number:024x}"


class _Pages:
    """The web tool, with the scenario's own pages for a web."""

    def __init__(self, tool: Tool, pages: Mapping[str, str]) -> None:
        self._tool = tool
        self._pages = pages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tool, name)

    async def run(self, args: Any, context: ToolContext) -> ToolResult:
        """Return the page as the real tool shows one."""
        if args.url not in self._pages:
            raise ToolError(f"web_fetch: no answer from {args.url}")
        return ToolResult(f"URL: {args.url}\n\n{self._pages[args.url]}", origin=Origin.WEB)


class _Sandboxed:
    """A tool that runs commands, with the sandbox that was chosen before the network was closed."""

    def __init__(self, tool: Tool, sandbox: Sandbox | None) -> None:
        self._tool = tool
        self._sandbox = sandbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tool, name)

    async def run(self, args: Any, context: ToolContext) -> Any:
        """Run the command where it can do no harm."""
        return await self._tool.run(args, replace(context, sandbox=self._sandbox))


class _Memory:
    """The company's memory, which exists only once the app does."""

    def __init__(self, app: Callable[[], App]) -> None:
        self._app = app

    async def recall(
        self, query: str, viewer: Viewer, *, language: str | None, but_of: str, node: str
    ) -> Recalled:
        """Look up what is nearest to a text."""
        recaller = MemoryRecaller(self._app().memory)
        return await recaller.recall(query, viewer, language=language, but_of=but_of, node=node)


class Performance:
    """One scenario on its stage. The app stays open, to be looked at, until `close`."""

    def __init__(
        self,
        scenario: Scenario,
        home: Path,
        *,
        run: int = 0,
        sandbox: Sandbox | None = None,
        before: Callable[[], Awaitable[None]] | None = None,
        house: House | None = None,
    ) -> None:
        """Take a scenario and the folder that becomes, or already is, its company's home.

        Args:
            scenario: What is performed.
            home: The home.
            run: How many processes worked this home before.
            sandbox: Where commands run; its self-test listens, so it is made before the network
                is closed.
            before: Awaited before every model call; it may end the process.
            house: Lends its database and its engine; `home` is its fresh home.

        Raises:
            InvalidInput: The scenario's settings are none.
        """
        self._scenario = scenario
        self._home = home
        self._crash = before
        self._house = house
        self._sandbox = sandbox
        self._scripts = {order_id_of(n): s for n, s in enumerate(scenario.orders, start=1)}
        self._clock = CausalClock(START)
        self._broken_in: set[str] = set()
        self._ids = ScriptIds(run)
        self._ended = {order_id: asyncio.Event() for order_id in self._scripts}
        self._talk = asyncio.Lock()
        self._environment = environment_of(scenario, home)
        self.llm = AuthoredLLM(
            {order_id: script.turns for order_id, script in self._scripts.items()},
            clock=self._clock,
            before=self._before,
        )
        self.performed = Performed(tuple(self._scripts))
        self.app = self._open()

    def close(self) -> None:
        """Let go of the database."""
        self.app.close()

    async def play(self) -> Performed:
        """Place the orders, let them be worked, and say the founder's words at the halts."""
        started = time.perf_counter()
        self._prepare()
        await self._start()
        try:
            async with asyncio.timeout(STUCK_S):
                await asyncio.gather(*(self._follow(order_id) for order_id in self._scripts))
        except TimeoutError:
            self.performed.problems.append(f"no order moved for {STUCK_S:g} s")
        finally:
            await self._stop()
        done = self.performed
        if self.llm.misses or self.llm.leftover:
            done.problems += await asyncio.to_thread(self._standing)
        done.problems += [*self.llm.misses, *(f"left over: {p}" for p in self.llm.leftover)]
        done.calls, done.wall_s = self.llm.served, time.perf_counter() - started
        return done

    def _standing(self) -> list[str]:
        """Say where the orders stand, which tells why answers are missing or left over."""
        return [
            f"{document.id} is {document.status.value}"
            + (f": {document.reason.text}" if document.reason else "")
            for document in map(self.app.documents.order, self._scripts)
        ]

    def _open(self) -> App:
        fixtures = self._scenario.company
        stage = Stage(
            llm=self.llm,
            is_own_hardware=lambda model: fixtures.own_hardware,
            recaller=_Memory(lambda: self.app),
            wrap=self._wrap,
            new_nonce=self._ids.nonce,
            prices=PriceBook.load(overrides=self._environment.settings.prices),
            baselines=lambda book: book,
            **self._lent(),
        )
        return App(self._environment, clock=self._clock, ids=self._ids, stage=stage)

    def _lent(self) -> dict[str, Any]:
        house = self._house
        return {"open_store": house.open_store, "engine": house.engine} if house else {}

    def _wrap(self, tool: Tool) -> Tool:
        stand_in: Any = tool
        if tool.name == "web_fetch":
            stand_in = _Pages(tool, self._scenario.company.pages)
        elif tool.effect is Effect.RUN:
            stand_in = _Sandboxed(tool, self._sandbox)
        checked: Tool = stand_in
        return checked

    def _prepare(self) -> None:
        """Make the company, or take up the books of the process that died."""
        prepare_home(self._scenario, self._home)
        is_new = self._house is not None or not (self._home / "swarm.db").exists()
        if self._house is None:
            furnish(self._home)
        self.app.initialise()
        if is_new:
            for item in self._scenario.company.memories:
                _remember(self.app, item)
            return
        kept = sa.select(ledger).where(ledger.c.state.in_((USED, FAILED))).order_by(ledger.c.id)
        for row in self.app.store.read(lambda c: c.execute(kept).all()):
            self.llm.skip(row.order_id, row.node)
            self._clock.set_base(parse_iso(row.ended_at))

    async def _start(self) -> None:
        self._until, ready = asyncio.Event(), asyncio.Event()
        self._job = asyncio.create_task(self.app.worker().run(self._until, ready=ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({self._job, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._job.done():
            self._job.result()

    async def _stop(self) -> None:
        self._until.set()
        await self._job

    async def _follow(self, order_id: str) -> None:
        """See one order through: place it, and say each word at the halt where it is due."""
        script = self._scripts[order_id]
        try:
            if script.after is not None:
                await self._ended[order_id_of(script.after)].wait()
            async with self._talk:
                await asyncio.to_thread(self._place, order_id, script)
            words = deque(w for w in script.words if w.when is None)
            for _ in range(self._said(order_id)):
                words.popleft()
            while await self._halted(order_id) and words:
                if not await self._speak(order_id, words.popleft()):
                    break
            self.performed.problems += [f"{order_id}: never said: {w.act}" for w in words]
        finally:
            self._ended[order_id].set()

    def _place(self, order_id: str, script: OrderScript) -> None:
        message = InboundMessage(
            channel="scenario",
            account="scenario",
            update_id=f"u-{order_id}",
            chat_id="founder" if script.origin is Origin.FOUNDER else script.origin.value,
            thread_id=None,
            sender_id="1000",
            text=script.text,
            received_at=self._clock.now(),
            origin=script.origin,
            customer=script.customer,
        )
        wish = Wish(budget=script.budget, is_auto_signed=script.auto_signed)
        placed = self.app.intake.place(message, wish)
        assert placed == order_id, "orders are placed in their order"

    async def _halted(self, order_id: str) -> bool:
        """Wait until an order stands still; False where a miss makes the rest meaningless."""
        while self.app.documents.status(order_id).is_moving:  # noqa: ASYNC110  # a row sets no event
            await asyncio.sleep(LOOK_S)
        return not self.llm.misses

    async def _speak(self, order_id: str, word: Word) -> bool:
        status = self.app.documents.status(order_id)
        if status not in _MAY[word.act]:
            self.performed.problems.append(
                f"{order_id}: the word `{word.act}` came to nothing: the order is {status.value}"
            )
            return False
        async with self._talk:
            # Looking comes first: from then on the founder's time counts.
            await asyncio.to_thread(self.app.office.inbox, order_id)
            self._clock.set_base(self._clock.latest + timedelta(seconds=word.after_s))
            if word.act == "deploy":
                await self._stop()
                self.app.close()
                self.app = self._open()
                await self._start()
                return True
            try:
                await asyncio.to_thread(self._say, order_id, word)
            except SwarmError as error:
                self.performed.problems.append(f"{order_id}: `{word.act}` was refused: {error}")
                return False
        return True

    def _say(self, order_id: str, word: Word) -> None:
        office, by = self.app.office, word.by
        if word.answer is not None:
            office.answer(order_id, word.answer, by=by)
        elif word.choose is not None:
            office.choose(order_id, word.choose, by=by, reason=word.because)
        elif word.approve:
            office.approve(order_id, by=by)
        elif word.reject is not None:
            office.reject(order_id, word.reject, by=by)
        elif word.accept:
            office.accept(order_id, by=by, sign=word.sign)
        elif word.cancel:
            office.cancel(order_id, by=by)
        elif word.budget is not None:
            office.set_budget(order_id, word.budget)
        else:
            office.resume(order_id)
        self._note_said(order_id)

    def _said(self, order_id: str) -> int:
        return _counts(self._home).get(order_id, 0)

    def _note_said(self, order_id: str) -> None:
        counts = _counts(self._home)
        counts[order_id] = counts.get(order_id, 0) + 1
        (self._home / _SAID).write_text(json.dumps(counts), encoding="ascii")

    async def _before(self, order_id: str, place: str) -> None:
        """Let people break in, or the process die, as the scenario has it."""
        if self._crash is not None:
            async with self._talk:
                await self._crash()
        for word in self._scripts[order_id].words:
            key = f"{order_id} {place}"
            if word.when == place and key not in self._broken_in:
                self._broken_in.add(key)
                await asyncio.to_thread(self.app.office.cancel, order_id, by=word.by)


def environment_of(scenario: Scenario, home: Path) -> Environment:
    """Return what a scenario's company finds around it: its own settings, and nothing else.

    Raises:
        InvalidInput: The settings are none.
    """
    document = dict(scenario.company.settings)
    llm = {"model": DEFAULT_MODEL, "backoff_s": 0, **(document.get("llm") or {})}
    document["llm"] = {**llm, "api_base": None}
    document["limits"] = {"poll_s": 0.02, **(document.get("limits") or {})}
    document["channels"] = []
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"company.settings.{place}: {first['msg']}.") from error
    return Environment(home=home, settings=settings, provider_keys=(), user="ada", user_id="1000")


def prepare_home(scenario: Scenario, home: Path, order_ids: Sequence[str] = ()) -> None:
    """Put role files and the orders' first files where the company looks for them.

    Args:
        scenario: What names them.
        home: The company's home.
        order_ids: Of its orders, where they were recorded under other ids.
    """
    for name, text in scenario.company.roles.items():
        _write(home / "roles" / f"{Path(name).name}.md", text)
    ids = order_ids or [order_id_of(n) for n in range(1, len(scenario.orders) + 1)]
    for order_id, script in zip(ids, scenario.orders, strict=True):
        for path, text in script.files.items():
            _write(home / "workspace" / order_id / path, text)


def _write(path: Path, text: str) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _remember(app: App, item: Remembered) -> None:
    detail = Detail(Scope.CUSTOMER, item.customer) if item.customer else Detail()
    app.memory.remember(item.text, kind=MemoryKind(item.kind), origin=item.origin, detail=detail)


def _counts(home: Path) -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads((home / _SAID).read_text(encoding="ascii"))
    except FileNotFoundError:
        return {}
    return found
