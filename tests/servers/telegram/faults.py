"""What goes wrong on demand, and when: floods, errors, cut and slow connections."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.servers.telegram.calls import Call
from tests.servers.telegram.refusals import Refusal, flood
from tests.servers.telegram.sockets import CUT, Answer

HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong."""

    name: str
    refusal: Refusal | None = None
    answer: Answer | None = None
    has_effect: bool = False
    """Whether the call is carried out before it goes wrong."""
    delay_s: float = 0.0
    is_silent: bool = False
    """Never answers; the client gives up by itself."""


def too_many(retry_after: int) -> Fault:
    """429, to be obeyed for so many seconds."""
    return Fault("flood", refusal=flood(retry_after))


def server_error(status: int = 500) -> Fault:
    """A failure of the service, in its own shape, before any effect."""
    names = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}
    return Fault("error", refusal=Refusal(status, names.get(status, "Server Error")))


def html_page(status: int = 502) -> Fault:
    """A page of a proxy instead of JSON, before any effect."""
    page = HTML.format(f"{status} Bad Gateway").encode()
    return Fault("page", answer=Answer(status, page, "text/html"))


def garbage(status: int = 200) -> Fault:
    """Half a JSON document, after the effect."""
    return Fault("garbage", answer=Answer(status, b'{"ok":true,"resu'), has_effect=True)


def cut_before() -> Fault:
    """A connection that dies before the call was carried out."""
    return Fault("cut before", answer=CUT)


def cut_after() -> Fault:
    """A connection that dies after the call was carried out: the client can't know."""
    return Fault("cut after", answer=CUT, has_effect=True)


def slow(seconds: float) -> Fault:
    """A late answer; the call is carried out at once."""
    return Fault("slow", has_effect=True, delay_s=seconds)


def silent(*, has_effect: bool = False) -> Fault:
    """No answer at all."""
    return Fault("silent", has_effect=has_effect, is_silent=True)


def refused(refusal: Refusal) -> Fault:
    """Any other refusal."""
    return Fault("refused", refusal=refusal)


@dataclass(slots=True)
class Planned:
    """A fault and the calls it strikes."""

    fault: Fault
    method: str | None = None
    chat_id: int | None = None
    matches: Callable[[Call], bool] | None = None
    skip: int = 0
    """How many fitting calls pass first."""
    times: int | None = 1
    """How many calls it strikes; None for all from then on."""

    def fits(self, call: Call) -> bool:
        """Tell whether a call is one of those."""
        if self.method is not None and self.method.lower() != call.method.lower():
            return False
        if self.chat_id is not None and call.text("chat_id") != str(self.chat_id):
            return False
        return self.matches is None or self.matches(call)


@dataclass(slots=True)
class Faults:
    """The plan of a test; planned first strikes first."""

    planned: list[Planned] = field(default_factory=list)
    struck: list[tuple[str, str]] = field(default_factory=list)
    """What happened: the fault and the method."""

    def add(self, fault: Fault, method: str | None = None, **options: Any) -> Planned:
        """Plan a fault, by default for the next call of a method (of any, without one).

        Options: `chat_id`, `matches`, `skip`, `times` of `Planned`.
        """
        planned = Planned(fault, method, **options)
        self.planned.append(planned)
        return planned

    def clear(self) -> None:
        """Plan nothing more."""
        self.planned.clear()

    def take(self, call: Call) -> Fault | None:
        """Return the fault that strikes a call."""
        for planned in self.planned:
            if not planned.fits(call):
                continue
            if planned.skip > 0:
                planned.skip -= 1
                continue
            if planned.times is not None:
                planned.times -= 1
                if planned.times <= 0:
                    self.planned.remove(planned)
            self.struck.append((planned.fault.name, call.method))
            return planned.fault
        return None


BY_NAME: dict[str, Callable[..., Fault]] = {
    "too_many": too_many,
    "server_error": server_error,
    "html_page": html_page,
    "garbage": garbage,
    "cut_before": cut_before,
    "cut_after": cut_after,
    "slow": slow,
    "silent": silent,
}
