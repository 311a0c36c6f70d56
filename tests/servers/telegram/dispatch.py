"""From a request on the socket to a method and back: tokens, faults, the contract, the record."""

import asyncio
import functools
import inspect
import json
import re
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from tests.servers.telegram.calls import Call, read_call
from tests.servers.telegram.contract import Contract
from tests.servers.telegram.delivery import Deliveries
from tests.servers.telegram.faults import Fault, Faults
from tests.servers.telegram.methods import METHODS, Desk, Rules
from tests.servers.telegram.rates import Rates
from tests.servers.telegram.refusals import NO_METHOD, NOT_FOUND, UNAUTHORIZED, Refusal
from tests.servers.telegram.sockets import CUT, Answer, Request
from tests.servers.telegram.world import Bot, Message, World


@dataclass(slots=True)
class Record:
    """One call as it came and as it ended."""

    number: int
    at: float
    bot_id: int
    call: Call
    chat_id: int | None = None
    status: int = 0
    """Of the answer; 0 where there was none."""
    reply: Any = None
    """The document that went back; None where the connection was cut."""
    fault: str | None = None
    effect: Message | None = None
    took_s: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def method(self) -> str:
        """The method's name."""
        return self.call.method


class Dispatch:
    """Carries out calls on a world, and keeps the record of them."""

    def __init__(self, world: World, contract: Contract | None) -> None:
        self.world = world
        self.contract = contract
        self.rules = Rules()
        self.faults = Faults()
        self.rates = Rates()
        self.updates: dict[int, Deliveries] = {}
        self.requests: list[Record] = []
        self.violations: list[str] = []

    async def call(self, token: str, name: str, query: dict[str, str], request: Request) -> Answer:
        """Answer one call.

        Raises:
            Refusal: The token or the body is unusable, so there is nothing to record.
        """
        bot = self._bot(token)
        known = self.contract.method_names if self.contract is not None else list(METHODS)
        method = next((m for m in known if m.lower() == name.lower()), None)
        call = read_call(method or name, query, request)
        record = self._record(bot, call)
        began = time.perf_counter()
        try:
            return await self._faulty(bot, record, request, is_known=method is not None)
        finally:
            record.took_s = time.perf_counter() - began

    async def download(self, token: str, path: str, request: Request) -> Answer:
        """Answer the download of a file.

        Raises:
            Refusal: No such file, or its link was never asked for or is too old.
        """
        record = self._record(self._bot(token), Call("download", {"path": path}))
        fault = self.faults.take(record.call)
        file = next((f for f in self.world.files.values() if f.path == path), None)
        newest = self.world.clock() - self.rules.link_lifetime_s
        if file is None or file.fetched_at is None or file.fetched_at < newest:
            record.status = NOT_FOUND.code
            raise NOT_FOUND
        answer = Answer(200, file.content, "application/octet-stream")
        record.status = answer.status
        return await self._strike(fault, record, request, answer) if fault else answer

    def violated(self, problems: list[str]) -> None:
        """Record what broke the contract."""
        self.violations += problems

    def _bot(self, token: str) -> Bot:
        if token in self.world.bots:
            return self.world.bots[token]
        raise UNAUTHORIZED if re.match(r"\d+:.", token) else NOT_FOUND

    def _record(self, bot: Bot, call: Call) -> Record:
        record = Record(len(self.requests) + 1, self.world.clock(), bot.id, call)
        self.requests.append(record)
        return record

    async def _faulty(
        self, bot: Bot, record: Record, request: Request, *, is_known: bool
    ) -> Answer:
        """Carry out a call, or let go wrong what is planned to."""
        fault = self.faults.take(record.call)
        record.fault = fault.name if fault is not None else None
        if fault is not None and not fault.has_effect:
            return await self._strike(fault, record, request)
        try:
            if not is_known:
                raise NO_METHOD
            result = await self._carry_out(bot, record, request)
            record.status, record.reply = 200, {"ok": True, "result": result}
        except Refusal as refusal:
            record.status, record.reply = refusal.code, refusal.document
        answer = as_json(record.status, record.reply)
        return await self._strike(fault, record, request, answer) if fault else answer

    async def _strike(
        self, fault: Fault, record: Record, request: Request, answer: Answer | None = None
    ) -> Answer:
        if fault.is_silent:
            record.status, record.reply = 0, None
            await request.gone.wait()
            return CUT
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.refusal is not None:
            seconds = fault.refusal.parameters.get("retry_after")
            if seconds and record.call.has("chat_id"):
                self.rates.hold(record.call.integer("chat_id"), self.world.clock(), seconds)
            record.status, record.reply = fault.refusal.code, fault.refusal.document
            return as_json(fault.refusal.code, fault.refusal.document)
        given = fault.answer or answer
        assert given is not None
        if given is not answer:
            record.status, record.reply = (0 if given.is_cut else given.status), None
        return given

    async def _carry_out(self, bot: Bot, record: Record, request: Request) -> Any:
        call = record.call
        if self.contract is not None:
            record.violations = self.contract.call_problems(call)
            self.violated(record.violations)
        if call.has("chat_id"):
            record.chat_id = call.integer("chat_id")
            self._limit(bot, call, record.chat_id)
        work = METHODS.get(call.method, self._stateless)
        reply = functools.partial(self._webhook_reply, bot, request)
        desk = Desk(self.world, bot, self.updates[bot.id], self.rules, request, reply)
        try:
            result = work(desk, call)
            if inspect.isawaitable(result):
                result = await result
        except (Refusal, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001 - a mistake of the fake fails the test, whatever it is
            self.violated([f"{call.method}: {traceback.format_exc()}"])
            raise Refusal(500, "Internal Server Error") from None
        record.effect = desk.effect
        if self.contract is not None:
            self.violated(self.contract.result_problems(call.method, result))
        return result

    def _stateless(self, desk: Desk, call: Call) -> Any:
        """Answer a method that keeps no state, though not for a chat where the bot may not act."""
        assert self.contract is not None
        if call.has("chat_id"):
            desk.chat(call)
        return self.contract.smallest_result(call.method)

    async def _webhook_reply(self, bot: Bot, request: Request, document: dict[str, Any]) -> None:
        """Carry out the call in a bot's answer to a webhook; nobody hears how it ended."""
        name = str(document["method"])
        record = self._record(bot, Call(name, {k: v for k, v in document.items() if k != "method"}))
        await self._faulty(bot, record, request, is_known=name in METHODS)

    def _limit(self, bot: Bot, call: Call, chat_id: int) -> None:
        now = self.world.clock()
        chat = self.world.chat_of(bot, chat_id)
        refusal = self.rates.held(chat_id, call.method, now)
        if refusal is None and chat is not None:
            refusal = self.rates.count(chat, call.method, now)
        if refusal is not None:
            raise refusal


def as_json(status: int, document: Any) -> Answer:
    """Return an answer with a JSON document."""
    return Answer(status, json.dumps(document, ensure_ascii=False).encode())
