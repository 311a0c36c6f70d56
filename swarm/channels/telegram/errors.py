"""What went wrong with Telegram, as ours: surely not sent, never will be, or nobody knows."""

import re

from swarm.channels.base import SendRefused
from swarm.core.errors import Transient

_TOKEN = re.compile(r"\d{3,}:[A-Za-z0-9_-]{10,}")
MAX_REASON = 300


def reason(error: Exception) -> str:
    """Say what went wrong without the token, which the library's own words may hold."""
    if type(error).__name__ == "InvalidToken":
        return "Telegram does not know the token or the method"
    return f"{type(error).__name__}: {_TOKEN.sub('[token]', str(error))}"[:MAX_REASON]


def is_same_text(error: Exception) -> bool:
    """Return whether an edit was refused because there was nothing to change."""
    return "message is not modified" in str(error).lower()


def is_bad_markup(error: Exception) -> bool:
    """Return whether the platform could not read the markup, so that plain text may pass."""
    text = str(error).lower()
    return "can't parse" in text or "entit" in text or "unsupported start tag" in text


def is_gone(error: Exception) -> bool:
    """Return whether a message to edit is no longer there."""
    text = str(error).lower()
    return "message to edit not found" in text or "message can't be edited" in text


def is_thread_gone(error: Exception) -> bool:
    """Return whether a topic was deleted or closed."""
    text = str(error).lower()
    return "thread not found" in text or "topic_closed" in text or "topic_deleted" in text


def translated(error: Exception) -> Exception:
    """Return which of the outcomes of `Channel.send` a vendor's error is.

    A connection that was never made, and an answer that says `no`, mean surely not sent. A line
    cut after the request had left means that nobody knows; that error comes back as it is.
    """
    import httpx
    from telegram import error as vendor

    flood_s = getattr(error, "flood_s", None)
    if flood_s is not None:
        return Transient(reason(error), kind="rate_limit", retry_after_s=flood_s)
    if isinstance(error, vendor.BadRequest | vendor.Forbidden | vendor.ChatMigrated):
        return SendRefused(reason(error))
    if isinstance(error, vendor.InvalidToken):
        # Also what an unknown method looks like: the token is not blamed for it here.
        return Transient(reason(error), kind="refused", retry_after_s=60.0)
    never_left = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
    if isinstance(error.__cause__, never_left):
        return Transient("Telegram cannot be reached", kind="network")
    if isinstance(error, vendor.TimedOut) or _is_http(error):
        return error
    if isinstance(error, vendor.NetworkError) and _is_answered(error):
        return Transient(f"Telegram is out of order: {reason(error)}", kind="server")
    return error


def _is_http(error: Exception) -> bool:
    import httpx

    return isinstance(error.__cause__, httpx.HTTPError)


def _is_answered(error: Exception) -> bool:
    """Return whether the server itself said that it failed; a gateway that gave up waiting did not."""
    text = str(error)
    return "Gateway Timeout" not in text and "(504)" not in text and "Unknown error" not in text
