"""What can be set of Telegram."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator


def _ids(value: Any) -> Any:
    """Read `1, 2` as a list: variables of the environment are texts."""
    if isinstance(value, int):
        return (value,)
    if isinstance(value, str):
        return tuple(part for part in value.replace(",", " ").split() if part)
    return value


Ids = Annotated[tuple[int, ...], BeforeValidator(_ids)]


class TelegramConfig(BaseModel):
    """How the company's bot is reached. Environment: `SWARM_TELEGRAM__<FIELD>`.

    Without a token nothing listens and nothing connects.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: SecretStr | None = None
    """The bot's token, from @BotFather."""
    base_url: str = "https://api.telegram.org"
    """Server of the Bot API; another one for your own server."""
    founders: Ids = ()
    """Numeric ids of people who are founders from the start; empty means nobody."""
    groups: Ids = ()
    """Numeric ids of groups in which the company listens; empty means none."""
    topics: bool = False
    """Give each order that is given in a group's General a topic of its own, where the group has topics
    and the bot may manage them; it is renamed and closed when the order is over."""
    webhook_url: str = ""
    """Public https address that Telegram is told; empty polls, which needs no address."""
    webhook_listen: str = "127.0.0.1:8443"
    """Where updates are taken in: a proxy with a certificate stands before it."""
    webhook_secret: SecretStr | None = None
    """What every update must bring; None draws a new one at each start."""
    poll_s: int = Field(default=25, ge=0, le=50)
    """How long one poll waits for something new, in seconds."""
    stall_s: float = Field(default=120, gt=0)
    """Without a successful poll for so long, the channel is shown as broken and begins anew."""
    file_mib: int = Field(default=20, ge=1, le=2000)
    """Largest file taken from a person; the public server gives no more than 20."""
    chat_pause_s: float = Field(default=1.0, ge=0)
    """Least time between two messages to one private chat, in seconds."""

    @model_validator(mode="after")
    def _address(self) -> "TelegramConfig":
        if self.webhook_url and not self.webhook_url.startswith(("https://", "http://127.")):
            raise ValueError(
                "webhook_url must begin with https://: Telegram brings nothing to others"
            )
        host, _, port = self.webhook_listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("webhook_listen is HOST:PORT, such as 127.0.0.1:8443")
        return self

    @property
    def api_url(self) -> str:
        """Return what method names are added to; `.../bot` may be given or left out."""
        return f"{self._server}/bot"

    @property
    def file_url(self) -> str:
        """Return where files are fetched."""
        return f"{self._server}/file/bot"

    @property
    def _server(self) -> str:
        return self.base_url.rstrip("/").removesuffix("/bot").rstrip("/")

    @property
    def bot_id(self) -> str:
        """Return the bot's id, which the token begins with; empty without a token."""
        return self.token.get_secret_value().partition(":")[0] if self.token else ""
