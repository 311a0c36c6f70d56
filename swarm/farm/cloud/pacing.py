"""HTTP for the vendors' clients: a time limit on each request, and patience where it is asked for.

The clients know neither: one waits for ever, the other tries again by a clock of its own. `session`
gives both a session of `requests` that does what the vendor's answer says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from swarm.farm.base import PlaceBusy

if TYPE_CHECKING:
    from swarm.farm.cloud.config import CloudConfig

LEAST_S = 1.0
MOST_S = 3600.0


class Paced(HTTPAdapter):
    """Send a request; answered 429, wait as long as asked and send it again."""

    def __init__(
        self, vendor: str, *, timeout_s: float, patience_s: float,
        sleep: Callable[[float], None] = time.sleep, now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """Take the limits, in seconds: of one request, and of all waiting together."""
        super().__init__()
        self._vendor = vendor
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._sleep = sleep
        self._now = now

    def send(  # type: ignore[override]  # the base names each argument; they are handed on
        self, request: PreparedRequest, **options: Any
    ) -> Response:
        """Send it. Raises PlaceBusy where the vendor asks for more patience than is left."""
        options["timeout"] = options.get("timeout") or self._timeout_s
        left_s = self._patience_s
        while True:
            response = super().send(request, **options)
            if response.status_code != 429:
                return response
            wait_s = asked_wait_s(response, now=self._now())
            response.close()
            if wait_s > left_s:
                raise PlaceBusy(
                    f"{self._vendor} asks to wait {wait_s:.0f} s: too many requests. Say the same "
                    "again then; it goes on where it stopped",
                    retry_after_s=wait_s,
                )
            left_s -= wait_s
            self._sleep(wait_s)


def session(vendor: str, config: CloudConfig) -> Session:
    """Return a session for a vendor's client. It takes no proxy's or netrc's word for a token."""
    made = Session()
    made.mount("https://", paced(vendor, config))
    made.mount("http://", paced(vendor, config))
    return made


def paced(vendor: str, config: CloudConfig) -> Paced:
    """Return the adapter with the limits of the settings."""
    return Paced(vendor, timeout_s=config.timeout_s, patience_s=config.patience_s)


def asked_wait_s(response: Response, *, now: float) -> float:
    """Return how long an answer asks to wait, in seconds: at least one, so that nobody hammers.

    `Retry-After` (seconds or a date) comes first, then `RateLimit-Reset` and `X-RateLimit-Reset`
    (seconds since 1970, or seconds to wait where the number is small).
    """
    asked = _retry_after_s(response.headers.get("Retry-After"), now)
    if asked is None:
        reset = response.headers.get("RateLimit-Reset") or response.headers.get("X-RateLimit-Reset")
        asked = _number(reset)
        if asked is not None and asked > MOST_S * 24:
            asked -= now
    return min(max(asked if asked is not None else LEAST_S, LEAST_S), MOST_S)


def _retry_after_s(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    if (number := _number(text)) is not None:
        return number
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now


def _number(text: str | None) -> float | None:
    # `float` alone would take `nan` and `inf`.
    return float(text) if text and text.strip().replace(".", "", 1).isdecimal() else None


def moment(text: str | None) -> datetime | None:
    """Read a vendor's time; None where there is none."""
    if not text:
        return None
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)
