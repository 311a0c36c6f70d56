"""What the fake clouds have in common: HTTP on a loopback socket, a thread, and scripted faults.

The product calls a cloud with the vendor's own client, which blocks; so the server lives in threads
and serves other processes too. `Life` counts the steps of a caller: a test names the one at which it
dies, and whether that step had been worked by then.
"""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

Document = dict[str, Any]
HOUR_S = 3600


class ContractViolation(AssertionError):
    """A request or an answer was not what the published contract says."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    number: int
    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: Any
    """The document; bytes where the request was no JSON; None where it was empty."""

    def one(self, name: str, default: str | None = None) -> str | None:
        """Return the only value of a word of the query."""
        return self.query.get(name, [default])[-1] if name in self.query else default


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Fault:
    """Something that goes wrong with the next calls that match."""

    method: str
    path: str
    """A pattern for the whole path."""
    answer: Answer | None = None
    """What is answered in place of the work. None: the line is cut."""
    is_worked: bool = False
    """Whether the work is done before the line is cut."""
    times: int = 1

    def matches(self, call: Call) -> bool:
        """Say whether it strikes this call."""
        return (
            self.times > 0
            and self.method == call.method
            and re.fullmatch(self.path, call.path) is not None
        )


@dataclass(slots=True)
class Billed:
    """A thing that costs by the hour, from when it was made until it was deleted."""

    kind: str
    name: str
    hourly: Decimal
    made_s: float
    gone_s: float | None = None

    def amount(self, now_s: float) -> Decimal:
        """Return what it cost so far: hours begun, times the price of an hour."""
        until = self.gone_s if self.gone_s is not None else now_s
        hours = (Decimal(str(until - self.made_s)) / HOUR_S).to_integral_value(ROUND_CEILING)
        return max(hours, Decimal(1)) * self.hourly


class Killed(BaseException):
    """The caller is dead; whatever it still tries does not happen."""


class Life:
    """The steps of a caller against the outside world: requests, commands, lines of the journal.

    A test lets it die at one of them: before the step is worked, or after, so that the caller never
    learns of it. From then on it reaches nothing any more, until `revives`.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.dies_at: tuple[int, bool] | None = None
        self.on_death: Callable[[], None] = lambda: None
        self.is_dead = False

    def dies(self, step: int, *, is_worked: bool) -> None:
        """Let it die at a step, from 1: before it is worked, or after."""
        self.dies_at = (step, is_worked)

    def revives(self) -> None:
        """Let a new caller through."""
        self.dies_at, self.is_dead, self.steps = None, False, 0

    def enter(self) -> int:
        """Begin a step and return its number. Raises Killed."""
        self.steps += 1
        if self.is_dead or self.dies_at == (self.steps, False):
            self._die()
        return self.steps

    def leave(self, step: int) -> None:
        """End a step. Raises Killed."""
        if self.dies_at == (step, True):
            self._die()

    def _die(self) -> None:
        if not self.is_dead:
            self.is_dead = True
            self.on_death()
        raise Killed


class CloudServer:
    """A cloud on a loopback port. A subclass answers the calls."""

    def __init__(self) -> None:
        self.life = Life()
        self.is_strict = True
        """Whether calls and answers are held against the contract."""
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.violations: list[str] = []
        self.bills: list[Billed] = []
        self.now_s = 1_795_000_000.0
        """Its clock, in seconds since 1970; tests move it."""
        self._lock = threading.RLock()
        self._http: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    # -- for tests

    @property
    def url(self) -> str:
        """Its address."""
        assert self._http is not None
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def fail(self, method: str, path: str, **how: Any) -> None:
        """Let the next matching call go wrong; `how` are the fields of `Fault`."""
        self.faults.append(Fault(method, path, **how))

    def asked(self, method: str, path: str) -> list[Call]:
        """Return the calls so far of a method to a path (a pattern)."""
        return [c for c in self.calls if c.method == method and re.fullmatch(path, c.path)]

    def bill(self) -> dict[str, Decimal]:
        """Return what was spent until now, by kind."""
        totals: dict[str, Decimal] = {}
        for line in self.bills:
            totals[line.kind] = totals.get(line.kind, Decimal(0)) + line.amount(self.now_s)
        return totals

    # -- for subclasses

    def work(self, call: Call) -> Answer:
        """Answer a call."""
        raise NotImplementedError

    def check(self, call: Call, answer: Answer | None) -> None:
        """Hold a call, then its answer, against the contract; append to `violations`."""

    def meter(self, kind: str, name: str, hourly: Decimal) -> Billed:
        """Begin to charge for a thing."""
        line = Billed(kind, name, hourly, self.now_s)
        self.bills.append(line)
        return line

    # -- the wire

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._http is not None
        assert self._thread is not None
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        if error is None and self.violations:
            raise ContractViolation("\n".join(dict.fromkeys(self.violations)))

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], raw: bytes
    ) -> Answer | None:
        """Work one request; None cuts the line."""
        with self._lock:
            call = _call(len(self.calls) + 1, method, target, headers, raw)
            try:
                step = self.life.enter()
                self.calls.append(call)
                answer = self._answer(call)
                self.life.leave(step)
            except Killed:
                return None
            return answer

    def _answer(self, call: Call) -> Answer | None:
        fault = next((f for f in self.faults if f.matches(call)), None)
        if fault is not None:
            fault.times -= 1
            if fault.answer is not None:
                return fault.answer
            if fault.is_worked:
                self.work(call)
            return None
        if self.is_strict:
            self.check(call, None)
        answer = self.work(call)
        if self.is_strict:
            self.check(call, answer)
        return answer


def _call(
    number: int, method: str, target: str, headers: Mapping[str, str], raw: bytes
) -> Call:  # fmt: skip
    parts = urlsplit(target)
    body: Any = None
    if raw:
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw
    return Call(number, method, unquote(parts.path), parse_qs(parts.query), headers, body)


class _Handler(BaseHTTPRequestHandler):
    owner: CloudServer
    protocol_version = "HTTP/1.1"
    # The answer's head and body go out in one packet each; without this they wait for each other.
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.owner.answer(self.command, self.path, headers, raw)
        if answer is None:
            self.close_connection = True
            return
        body = answer.body if isinstance(answer.body, bytes) else b""
        if answer.body is not None and not body:
            body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if answer.status != 204:
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *words: Any) -> None:
        """Say nothing."""
