"""What can be set of the company's customers: where they write, and how far they may go."""

from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.channels.bound import bound_name
from swarm.channels.slack.config import SlackConfig
from swarm.channels.telegram.config import TelegramConfig
from swarm.channels.whatsapp.config import WhatsAppConfig

PLATFORMS = ("telegram", "slack", "whatsapp")


class CustomersConfig(BaseModel):
    """How customers are served. Environment: `SWARM_CUSTOMERS__<FIELD>`.

    `SWARM_CUSTOMERS__TELEGRAM__TOKEN` is a bot of its own, on which everybody may write and nobody
    is more than a customer. Without such a binding nobody is served and nothing listens.
    """

    model_config = ConfigDict(extra="forbid")

    telegram: TelegramConfig = Field(default_factory=TelegramConfig)
    """A second bot; fields as in `telegram`, without founders and groups."""
    slack: SlackConfig = Field(default_factory=SlackConfig)
    """A second app; fields as in `slack`, without founders and groups."""
    whatsapp: WhatsAppConfig = Field(default_factory=WhatsAppConfig)
    """A second number; fields as in `whatsapp`, without founders."""
    is_on: bool = True
    """False leaves the bindings set up and switched off."""
    role: str = "support"
    """The role that answers."""
    knowledge: Path | None = None
    """Folder of what customers may be told; None is `knowledge` in the home."""
    burst: int = Field(default=6, ge=1)
    """Messages that one person may send within a minute."""
    per_hour: int = Field(default=30, ge=1)
    """Messages that one person may send within an hour."""
    total_per_hour: int = Field(default=600, ge=1)
    """Messages that all customers together may send within an hour."""
    answer_budget: Decimal = Field(default=Decimal("0.50"), gt=0)
    """The most that one answer may cost, in the company's currency; most cost a hundredth."""
    person_day_budget: Decimal = Field(default=Decimal(1), gt=0)
    """The most that the answers to one person may cost on one UTC day."""
    day_budget: Decimal = Field(default=Decimal(10), gt=0)
    """The most that all answers to customers may cost on one UTC day."""
    cards_per_hour: int = Field(default=20, ge=1)
    """Customers of whom the staff is told within an hour; those beyond wait in `/inbox` alone."""
    file_mib: int = Field(default=5, ge=0, le=20)
    """Largest file taken from a customer; 0 takes none."""
    files_day_mib: int = Field(default=20, ge=0)
    """What the files of one person may take up, of one UTC day; the one that goes beyond is the last."""
    total_files_day_mib: int = Field(default=500, ge=0)
    """The same for all customers together."""
    turns: int = Field(default=8, ge=0, le=50)
    """Earlier messages of the same conversation that an answer is written with."""
    conversation_hours: float = Field(default=24, gt=0)
    """After so long without a word a new conversation begins, which says anew who answers."""
    taken_hours: float = Field(default=24, gt=0)
    """A human who took a conversation over and is silent for so long has given it back."""

    @model_validator(mode="after")
    def _only_customers(self) -> "CustomersConfig":
        """Refuse what would make somebody more than a customer here."""
        for platform in PLATFORMS:
            binding = getattr(self, platform)
            for field in ("founders", "groups"):
                if getattr(binding, field, ()):
                    raise ValueError(
                        f"{platform}.{field}: customers are served here, in private, and nobody is "
                        f"more: set {platform}.{field} outside of `customers`"
                    )
        return self

    @property
    def bindings(self) -> dict[str, TelegramConfig | SlackConfig | WhatsAppConfig]:
        """Return the bindings that are set up and switched on, by their channels' names."""
        found: dict[str, TelegramConfig | SlackConfig | WhatsAppConfig] = {}
        if not self.is_on:
            return found
        if self.telegram.token is not None:
            found[bound_name("telegram")] = self.telegram
        if self.slack.is_set:
            found[bound_name("slack")] = self.slack
        if self.whatsapp.is_set:
            found[bound_name("whatsapp")] = self.whatsapp
        return found


def same_account(
    *,
    telegram: tuple[TelegramConfig, TelegramConfig],
    slack: tuple[SlackConfig, SlackConfig],
    whatsapp: tuple[WhatsAppConfig, WhatsAppConfig],
) -> str:
    """Say which account the company's own channel and its customers' would share; empty for none.

    One account cannot tell a founder from a customer, and two listeners would take each other's
    messages away.
    """
    own_bot, bot = telegram
    if bot.bot_id and bot.bot_id == own_bot.bot_id:
        return "telegram and customers.telegram name one bot: make a second one with @BotFather"
    own_app, app = slack
    for field in ("bot_token", "app_token"):
        if getattr(app, field) and getattr(app, field) == getattr(own_app, field):
            return f"slack and customers.slack have one {field}: make a second app"
    own_number, number = whatsapp
    if number.phone_id and number.phone_id == own_number.phone_id:
        return "whatsapp and customers.whatsapp have one phone_id: a second number is needed"
    if own_number.is_set and number.is_set and own_number.listen == number.listen:
        return "whatsapp.listen and customers.whatsapp.listen are one address: give each its own"
    is_webhook = own_bot.webhook_url and bot.webhook_url and own_bot.token and bot.token
    if is_webhook and own_bot.webhook_listen == bot.webhook_listen:
        return "telegram.webhook_listen and customers.telegram.webhook_listen are one address"
    return ""
