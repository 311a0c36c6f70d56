"""What can be set of Slack."""

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
)

_PERSON = re.compile(r"[TE][A-Z0-9]{2,}:[UW][A-Z0-9]{2,}")
_CHANNEL = re.compile(r"[CGD][A-Z0-9]{2,}")


def _words(value: Any) -> Any:
    """Read `A, B` as a list: variables of the environment are texts."""
    if isinstance(value, str):
        return tuple(part for part in value.replace(",", " ").split() if part)
    return value


def _people(found: tuple[str, ...]) -> tuple[str, ...]:
    for person in found:
        if not _PERSON.fullmatch(person):
            raise ValueError(
                f"{person!r} is no person: write TEAM:USER, such as T0123ABCD:U0123ABCD. Both ids "
                "are in Slack's profile menu and in `swarm pairing list`; names are never compared"
            )
    return found


def _channels(found: tuple[str, ...]) -> tuple[str, ...]:
    for channel in found:
        if not _CHANNEL.fullmatch(channel):
            raise ValueError(
                f"{channel!r} is no channel id: it begins with C and stands at the end of the "
                "channel's details in Slack"
            )
    return found


class SlackConfig(BaseModel):
    """How the company's Slack app is reached. Environment: `SWARM_SLACK__<FIELD>`.

    Without both tokens nothing listens and nothing connects.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    bot_token: SecretStr | None = None
    """The token that begins with `xoxb-`, from the app's page OAuth & Permissions."""
    app_token: SecretStr | None = None
    """The token that begins with `xapp-` and has the scope `connections:write`, from Basic Information."""
    base_url: str = "https://slack.com/api/"
    """Server of the Web API."""
    founders: Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_people)] = ()
    """People who are founders from the start, as TEAM:USER; empty means nobody."""
    groups: Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_channels)] = ()
    """Ids of channels in which the company listens; empty means none."""
    command: str = Field(default="/swarm", pattern=r"^/[a-z0-9_-]{1,31}$")
    """The slash command of the app; the company's commands are its first word."""
    ping_s: float = Field(default=5.0, gt=0, le=15)
    """How often the socket is pinged, in seconds."""
    stall_s: float = Field(default=30.0, gt=0, le=45)
    """Without an answer to a ping for so long, the socket is closed and another one opened."""
    file_mib: int = Field(default=20, ge=1, le=1000)
    """Largest file taken from a person."""
    chat_pause_s: float = Field(default=1.0, ge=0)
    """Least time between two messages to one conversation, in seconds."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        """Let the address end the way the library joins it with a method's name."""
        scheme, sign, rest = value.partition("://")
        if not sign or scheme not in ("http", "https") or not rest.strip("/"):
            raise ValueError("base_url is an address, such as https://slack.com/api/")
        host, _, path = rest.rstrip("/").partition("/")
        return f"{scheme}://{host}/{path or 'api'}/"

    @property
    def is_set(self) -> bool:
        """Return whether both tokens are there."""
        return self.bot_token is not None and self.app_token is not None
