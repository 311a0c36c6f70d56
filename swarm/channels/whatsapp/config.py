"""What can be set of WhatsApp."""

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

_PERSON = re.compile(r"\d{5,20}|[A-Z]{2}\.\d{1,64}")


def _words(value: Any) -> Any:
    """Read `1, 2` as a list: variables of the environment are texts or numbers."""
    if isinstance(value, int):
        return (str(value),)
    if isinstance(value, str):
        return tuple(part for part in value.replace(",", " ").split() if part)
    return tuple(map(str, value)) if isinstance(value, list | tuple) else value


def _people(found: tuple[str, ...]) -> tuple[str, ...]:
    plain = tuple(person.removeprefix("+") for person in found)
    for person in plain:
        if not _PERSON.fullmatch(person):
            raise ValueError(
                f"{person!r} is no person: write the number with its country code and digits "
                "alone, such as 33612345678, as `swarm pairing list` shows it"
            )
    return plain


class WhatsAppConfig(BaseModel):
    """How the company's WhatsApp number is reached. Environment: `SWARM_WHATSAPP__<FIELD>`.

    Without token, phone id, app secret and verify token nothing listens and nothing connects.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)

    token: SecretStr | None = None
    """A permanent token of a system user; the one of the app's first page ends within a day."""
    phone_id: str = Field(default="", pattern=r"^\d*$")
    """The phone number's id, which is not the number, from the app's page API Setup."""
    app_secret: SecretStr | None = None
    """The app's secret, with which Meta signs what it brings; from App settings, Basic."""
    verify_token: SecretStr | None = None
    """A word of your own choice, written in the webhook's settings at Meta too."""
    base_url: str = "https://graph.facebook.com/v24.0"
    """Server of the Graph API, with its version."""
    founders: Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_people)] = ()
    """Numbers of people who are founders from the start, digits alone; empty means nobody."""
    listen: str = "127.0.0.1:8444"
    """Where webhooks are taken in: a proxy with a certificate stands before it."""
    path: str = Field(default="/whatsapp", pattern=r"^/[\w./-]*$")
    """The one path that is answered."""
    template: str = Field(default="", pattern=r"^[a-z0-9_]{0,512}$")
    """Approved template that calls a person back when 24 hours have passed since they wrote; its
    body has one place, for what waits. Empty sends none: what waits is sent when they write."""
    template_language: str = Field(default="en", pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$")
    file_mib: int = Field(default=20, ge=1, le=100)
    """Largest file taken from a person."""
    chat_pause_s: float = Field(default=1.0, ge=0)
    """Least time between two messages to one person, in seconds."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        scheme, sign, rest = value.partition("://")
        if not sign or scheme not in ("http", "https") or not rest.strip("/"):
            raise ValueError("base_url is an address, such as https://graph.facebook.com/v24.0")
        return value.rstrip("/")

    @field_validator("listen")
    @classmethod
    def _place(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("listen is HOST:PORT, such as 127.0.0.1:8444")
        return value

    @property
    def is_set(self) -> bool:
        """Return whether all is there that it takes."""
        return all((self.token, self.phone_id, self.app_secret, self.verify_token))
