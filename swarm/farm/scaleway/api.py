"""The vendor's client with a session of our own, and what its refusals mean for the farm."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from requests import Response, Session
from requests.exceptions import RequestException
from scaleway import Client, ScalewayException
from scaleway.block.v1 import BlockV1API
from scaleway.instance.v1.custom_api import InstanceUtilsV1API

from swarm.core.errors import SwarmError
from swarm.farm.base import PlaceBusy, PlaceRefused
from swarm.farm.cloud.machines import Lost, SoldOut
from swarm.farm.cloud.pacing import session
from swarm.farm.scaleway.config import ScalewayConfig

T = TypeVar("T")
A_PAGE = 100
UNREADABLE = (
    "scaleway's answer cannot be read: another version of its API, or something in between; say the "
    "same again later"
)
_SOLD_OUT = ("out_of_stock", "resource_expired")
_RIGHTS = {
    "denied_authentication": "the API key is not valid; make one in the console and set "
    "farm.scaleway.access_key and .secret_key",
    "permissions_denied": "the API key may not do this; it needs InstancesFullAccess and "
    "BlockStorageFullAccess on the project",
    "quotas_exceeded": "the project's quota is reached; ask Scaleway to raise it, or delete servers "
    "you no longer need",
}  # fmt: skip


class Missing(SwarmError):
    """The thing asked for is not there."""


class _Polite:
    """Send the client's requests through a session with a time limit and patience.

    The client's own way opens a connection for each request, waits for ever, and knows no 429.
    """

    client: Client
    session: Session

    def _request(
        self, method: str, path: str, params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None, body: Any = None,
    ) -> Response:  # fmt: skip
        query = [
            (key, each)
            for key, value in (params or {}).items() if value is not None
            for each in (value if isinstance(value, list) else [value])
        ]  # fmt: skip
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body)
        typed = {"content-type": "application/json"} if sent is not None else {}
        return self.session.request(
            method.upper(), f"{self.client.api_url}{path}", params=query, data=sent,
            headers={
                "accept": "application/json", "user-agent": self.client.user_agent,
                "x-auth-token": self.client.secret_key or "", **typed,
                **{key.lower(): value for key, value in (headers or {}).items()},
            },
        )  # fmt: skip

    def _throw_on_error(self, res: Response) -> None:
        if res.status_code >= 400:
            raise ScalewayException(res)


class Instances(_Polite, InstanceUtilsV1API):  # type: ignore[misc]  # the client has no types
    """Servers, addresses, security groups and local volumes."""


class Blocks(_Polite, BlockV1API):  # type: ignore[misc]  # the client has no types
    """Block volumes."""


def clients(config: ScalewayConfig) -> tuple[Instances, Blocks]:
    """Return the vendor's clients. Raises PlaceRefused where a setting is missing or malformed."""
    if config.access_key is None or config.secret_key is None or config.project is None:
        raise PlaceRefused(
            "farm.scaleway.access_key, .secret_key and .project are needed: make an API key in the "
            "Scaleway console"
        )
    client = Client(
        access_key=config.access_key, secret_key=config.secret_key.get_secret_value(),
        api_url=config.api_url.rstrip("/"), default_project_id=config.project,
        default_page_size=A_PAGE, user_agent="swarm",
    )  # fmt: skip
    try:
        made = Instances(client), Blocks(client)
    except ValueError as error:
        # The client's own words would show the key.
        what = str(error).split("'")[0].strip().rstrip(":")
        raise PlaceRefused(f"farm.scaleway: {what}; copy it from the Scaleway console") from None
    for each in made:
        each.session = session("scaleway", config)
        each.session.trust_env = False
    return made


def all_of(read: Callable[[int], list[T]]) -> list[T]:
    """Read page after page, from 1, until one is not full."""
    found: list[T] = []
    page = 1
    while True:
        rows = read(page)
        found += rows
        if len(rows) < A_PAGE:
            return found
        page += 1


def given(thing: T | None) -> T:
    """Return what an answer must hold. Raises Lost: it may have been made, and does not say so."""
    if thing is None:
        raise Lost(UNREADABLE)
    return thing


def translated(error: Exception) -> Exception:
    """Return the farm's error for one of the client's; what is neither comes back as it is."""
    if isinstance(error, SwarmError | Missing):
        return error
    if isinstance(error, RequestException) and not isinstance(error, ScalewayException):
        return Lost(
            f"scaleway cannot be reached ({type(error).__name__}); say the same again later, it "
            "goes on where it stopped"
        )
    if isinstance(error, ScalewayException):
        return _refusal(error.response)
    if isinstance(error, KeyError | TypeError | ValueError | AttributeError):
        return Lost(UNREADABLE)
    return error


def _refusal(response: Response) -> Exception:
    try:
        body = response.json()
    except ValueError:
        body = {}
    kind, message = str(body.get("type", "")), str(body.get("message", response.reason))
    if response.status_code == 404:
        return Missing(message)
    if kind in _SOLD_OUT:
        return SoldOut(f"scaleway has none now: {body.get('resource') or message}")
    if "commercial_type" in (body.get("fields") or {}):
        return SoldOut("scaleway does not sell it there")
    if kind in _RIGHTS:
        return PlaceRefused(f"scaleway: {_RIGHTS[kind]} ({message})")
    if response.status_code in (401, 403):
        return PlaceRefused(f"scaleway refuses: {message}; check the API key and its rights")
    if response.status_code in (409, 423, 429):
        return PlaceBusy(f"scaleway is busy: {message}; say the same again in a minute")
    if response.status_code >= 500:
        # It may have been worked before the answer failed.
        return Lost(f"scaleway fails: {message} ({response.status_code}); say the same again later")
    fields = ", ".join(sorted(body.get("fields") or {}))
    return PlaceRefused(f"scaleway refuses: {message}{f' ({fields})' if fields else ''}")
