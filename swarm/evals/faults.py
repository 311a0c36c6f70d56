"""Faults of a provider, put between the calls of a recorded order: `429@3,timeout@5`."""

from collections.abc import Mapping
from dataclasses import dataclass

from swarm.core.errors import InvalidInput, ModelError, Transient
from swarm.core.registry import nearest

MOST = 100
"""Faults of one replay."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an adapter raises where a provider fails so."""

    kind: str
    text: str
    is_billed_unknown: bool = False


KINDS: Mapping[str, _Kind] = {
    "429": _Kind("rate_limited", "429: too many requests (put in by --faults)"),
    "500": _Kind("server_error", "500: internal error (put in by --faults)"),
    "503": _Kind("overloaded", "503: overloaded (put in by --faults)"),
    "timeout": _Kind("timeout", "no answer in time (put in by --faults)", is_billed_unknown=True),
    "cut": _Kind("cut", "the answer broke off (put in by --faults)", is_billed_unknown=True),
    "refused": _Kind("unreachable", "connection refused (put in by --faults)"),
}


def parse(text: str) -> dict[int, list[str]]:
    """Read `429@3,timeout@5`: which faults come before which recorded call, counted from 1.

    Raises:
        InvalidInput: An unknown fault, no number, or too many.
    """
    found: dict[int, list[str]] = {}
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items or len(items) > MOST:
        raise InvalidInput(f"--faults {text[:80]!r}: write 1 to {MOST} of them, as in 429@3,cut@5.")
    for item in items:
        name, sign, number = item.partition("@")
        if name not in KINDS:
            raise InvalidInput(f"--faults: there is no fault {name[:40]!r}{nearest(name, KINDS)}.")
        if not sign or not number.isascii() or not number.isdigit() or not 1 <= len(number) <= 6:
            raise InvalidInput(f"--faults {item[:80]!r}: write the number of a call, as in 429@3.")
        if int(number) < 1:
            raise InvalidInput(f"--faults {item}: calls are counted from 1.")
        found.setdefault(int(number), []).append(name)
    return found


def error_of(name: str) -> ModelError:
    """Return what an adapter raises for a fault."""
    fault = KINDS[name]
    return Transient(fault.text, kind=fault.kind, is_billed_unknown=fault.is_billed_unknown)
