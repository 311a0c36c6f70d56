"""What went wrong with Slack, as ours: surely not sent, never will be, or nobody knows."""

from typing import Any

from swarm.channels.base import SendRefused
from swarm.core.errors import Transient

OPERATOR_S = 60.0
"""Wait before trying again what only the operator can mend, in seconds."""
_OPERATOR = frozenset(
    {
        "account_inactive", "ekm_access_denied", "invalid_auth", "invalid_auth_token",
        "is_inactive", "missing_scope", "no_permission", "not_allowed_token_type", "not_authed",
        "org_login_required", "token_expired", "token_revoked", "two_factor_setup_required",
    }
)  # fmt: skip
_LATER = frozenset({"ratelimited", "rate_limited", "service_unavailable", "team_added_to_org"})
_UNSURE = frozenset({"fatal_error", "internal_error", "request_timeout"})
"""Slack says of these that part of the work may have been done."""
_BAD_BLOCKS = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "invalid_attachments"}
)
_GONE = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "message_not_editable"}
)
_THREAD_GONE = frozenset(
    {"thread_not_found", "cannot_reply_to_message", "restricted_action_thread_locked"}
)


def code_of(error: BaseException) -> str:
    """Return the word by which Slack names an error; empty where it named none."""
    data = getattr(getattr(error, "response", None), "data", None)
    found = data.get("error") if isinstance(data, dict) else None
    return found if isinstance(found, str) else ""


def is_bad_blocks(error: BaseException) -> bool:
    """Return whether the blocks were refused, so that plain text may pass."""
    return code_of(error) in _BAD_BLOCKS


def is_gone(error: BaseException) -> bool:
    """Return whether a message to edit is no longer there, or may not be edited."""
    return code_of(error) in _GONE


def is_thread_gone(error: BaseException) -> bool:
    """Return whether a thread cannot be written to any more."""
    return code_of(error) in _THREAD_GONE


def translated(error: Exception) -> Exception:
    """Return which of the outcomes of `Channel.send` a vendor's error is.

    A connection that was never made, and an answer that says `no`, mean surely not sent. A line
    cut after the request had left means that nobody knows; that error comes back as it is.
    """
    import aiohttp
    from slack_sdk.errors import SlackApiError

    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Transient("Slack cannot be reached", kind="network")
    if not isinstance(error, SlackApiError):
        return error
    status = int(getattr(error.response, "status_code", 0) or 0)
    code = code_of(error)
    if status == 429 or code in _LATER:
        return Transient(
            f"Slack wants a pause ({code or status})",
            kind="rate_limit",
            retry_after_s=_retry_after(error.response),
        )
    if code in _UNSURE or status == 504:
        return error
    if status >= 500:
        return Transient(f"Slack is out of order (HTTP {status})", kind="server")
    if code in _OPERATOR:
        return Transient(
            f"Slack refuses the app: {code}{_needed(error.response)}",
            kind="refused",
            retry_after_s=OPERATOR_S,
        )
    if code:
        return SendRefused(f"Slack refuses it: {code}")
    return error


def _retry_after(response: Any) -> float:
    headers = getattr(response, "headers", None) or {}
    found = next((v for k, v in headers.items() if k.lower() == "retry-after"), None)
    found = found[0] if isinstance(found, list) and found else found
    try:
        return max(float(str(found)), 0.1)
    except ValueError:
        return 30.0


def _needed(response: Any) -> str:
    data = getattr(response, "data", None)
    needed = data.get("needed") if isinstance(data, dict) else None
    return f", needs the scope {needed}" if isinstance(needed, str) else ""
