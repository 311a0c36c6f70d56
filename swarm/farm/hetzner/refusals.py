"""What Hetzner's refusals mean for the farm."""

from __future__ import annotations

from typing import Any

from hcloud import APIException
from hcloud.actions import ActionException
from requests.exceptions import RequestException

from swarm.core.errors import SwarmError
from swarm.farm.base import PlaceBusy, PlaceRefused
from swarm.farm.cloud.machines import Broken, Lost, SoldOut, Taken

_SOLD_OUT = {"resource_unavailable", "placement_error", "no_space_left_in_location"}
"""412, and what an action may end with."""
_NOT_SOLD = ("unsupported location", "deprecated", "server type")
"""Words of a 422 about a type that is not sold, or not there: types retire."""
_ABOUT = {"server_type", "location"}
"""The fields that such a 422 names."""
_RIGHTS = {
    "unauthorized": "the token is not valid; make a new one in the project's security page and set "
    "farm.hetzner.token",
    "forbidden": "the token may not do this; it needs the right to read and write",
    "token_readonly": "the token may only read; make one with the right to read and write",
    "resource_limit_exceeded": "the project's limit is reached; ask Hetzner to raise it, or delete "
    "servers you no longer need",
}  # fmt: skip


def translated(error: Exception) -> Exception:
    """Return the farm's error for one of the client's; what is neither comes back as it is."""
    if isinstance(error, SwarmError):
        return error
    if isinstance(error, RequestException):
        return Lost(
            f"hetzner cannot be reached ({type(error).__name__}); say the same again later, it "
            "goes on where it stopped"
        )
    if isinstance(error, ActionException):
        return Broken(f"hetzner: {error}")
    if isinstance(error, APIException):
        return _api(error.code, error.message, error.details)
    if isinstance(error, KeyError | TypeError | ValueError | AttributeError):
        # It may have been worked: what is there is looked at.
        return Lost(
            "hetzner's answer cannot be read: another version of its API, or something in between; "
            "say the same again later"
        )
    return error


def _is_not_sold(message: str, details: Any) -> bool:
    fields = details.get("fields") if isinstance(details, dict) else None
    names = {each.get("name") for each in fields or () if isinstance(each, dict)}
    plain = message.casefold().replace("_", " ")
    return bool(names & _ABOUT) or any(word in plain for word in _NOT_SOLD)


def _api(code: int | str, message: str, details: Any) -> Exception:
    if code in _SOLD_OUT:
        return SoldOut(f"hetzner has none now: {message} ({code})")
    if code == "uniqueness_error":
        return Taken(f"hetzner: {message}")
    if code == "invalid_input" and _is_not_sold(message, details):
        return SoldOut(f"hetzner does not sell it there: {message}")
    if code in _RIGHTS:
        return PlaceRefused(f"hetzner: {_RIGHTS[str(code)]} ({message})")
    if code in ("rate_limit_exceeded", "locked", "conflict"):
        return PlaceBusy(f"hetzner is busy: {message}; say the same again in a minute")
    if isinstance(code, int) or code in ("server_error", "service_error", "unavailable", "timeout"):
        # It may have been worked before the answer failed.
        if isinstance(code, int) and 400 <= code < 500:
            return PlaceRefused(f"hetzner refuses: {message} ({code})")
        return Lost(f"hetzner fails: {message} ({code}); say the same again later")
    return PlaceRefused(f"hetzner refuses: {message} ({code})")
