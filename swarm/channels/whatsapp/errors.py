"""What went wrong with WhatsApp, as ours: surely not sent, never will be, or nobody knows."""

from swarm.channels.base import SendRefused
from swarm.core.errors import Transient

LATE = 131047
"""More than 24 hours have passed since the person wrote."""
OPERATOR_S = 60.0
"""Wait before trying again what only the operator can mend, in seconds."""
_RATES = {
    4: 60.0,
    80007: 60.0,
    130429: 5.0,
    131048: 600.0,
    131056: 6.0,
    133016: 600.0,
    131064: 600.0,
}
"""Codes of too many calls, and how long to wait where nothing else is said, in seconds."""
_OPERATOR = frozenset(
    {0, 3, 10, 190, 368, 131005, 131031, 131042, 131045, 133010, *range(200, 300)}
)
_LATER = frozenset({1, 2, 131016, 131057, 133004})
_UNSURE = frozenset({131000, 135000})
_NO_MEDIA = frozenset({100, 131009, 131051, 131053})


def code_of(error: BaseException) -> int:
    """Return the number by which Meta names an error; -1 where it named none."""
    found = getattr(error, "code", None)
    return found if isinstance(found, int) else -1


def is_late(error: BaseException) -> bool:
    """Return whether the window was closed after all."""
    return code_of(error) == LATE


def is_media(error: BaseException) -> bool:
    """Return whether a file was refused for what it is."""
    return code_of(error) in _NO_MEDIA


def translated(error: Exception) -> Exception:
    """Return which of the outcomes of `Channel.send` a vendor's error is.

    A connection that was never made, and an answer that says `no`, mean surely not sent. A line
    cut after the request had left means that nobody knows; that error comes back as it is.
    """
    import httpx
    from pywa.errors import WhatsAppError

    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return Transient("WhatsApp cannot be reached", kind="network")
    if not isinstance(error, WhatsAppError):
        return error
    code, status = error.code, error.status_code or 0
    text = f"{code} {error.details or error.message}"[:300]
    if code in _RATES or status == 429:
        return Transient(
            f"WhatsApp wants a pause: {text}",
            kind="rate_limit",
            retry_after_s=_retry_after(error, _RATES.get(code, 30.0)),
        )
    if code in _UNSURE or status == 504:
        return error
    if code in _LATER or status >= 500 or error.is_transient:
        return Transient(f"WhatsApp is out of order: {text}", kind="server")
    if code in _OPERATOR or status in (401, 403):
        return Transient(
            f"WhatsApp refuses the token or the number: {text}",
            kind="refused",
            retry_after_s=OPERATOR_S,
        )
    return SendRefused(f"WhatsApp refuses it: {text}")


def _retry_after(error: Exception, usual: float) -> float:
    response = getattr(error, "raw_response", None)
    said = response.headers.get("retry-after", "") if response is not None else ""
    try:
        return max(float(said), 0.1)
    except ValueError:
        return usual
