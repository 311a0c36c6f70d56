"""What a farm driver does, and the words it does it with. Every verb may be repeated.

A driver is made as `Class(site, config)`: `site` says whose farm it is and holds the journal, `config`
is the driver's own model of `swarm.farm.config.FarmConfig`. Making one connects nothing.

The rules that all drivers keep:

- **Journal first.** Before a call that makes, ends, starts or stops something, `Journal.intend` has
  committed; after it comes `done` or `undone`. A process that dies in between leaves an open entry,
  and the next run of the same verb, or `reconcile`, looks at the place and closes it.
- **Labels on everything**: `labels_of`. A thing without our farm's label is not ours: never adopted,
  never deleted, and in the way of a name it is a `Conflict`.
- **A generation is one run's making.** A failed `create` ends what its own generation made and nothing
  else. `upgrade` makes a new generation beside the old one's volume.
- **Secrets** come as `Secrets` beside the spec and go to files of the instance; never to argv, labels,
  the journal, a log, user data, or the text of an error.
- The same name and owner again is the same instance; the same name for somebody else is a `Conflict`.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import SecretStr

from swarm.core.clock import Clock
from swarm.core.errors import ConfigError, InvalidInput, SwarmError
from swarm.core.money import CostStatus

Secrets = Mapping[str, SecretStr]
"""Values by the name of the variable they stand for: `SWARM_TELEGRAM__TOKEN`, `ANTHROPIC_API_KEY`."""

MANAGED_BY, FARM, INSTANCE, GENERATION, OWNER = (
    "managed-by", "farm", "instance", "generation", "owner",
)  # fmt: skip
"""The keys of our labels. The value of the first is `swarm`."""
SWARM = "swarm"
NAME_RULE = re.compile(r"[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")
HOURS_OF_A_MONTH = Decimal(730)
DAYS_OF_A_MONTH = Decimal("30.4375")
_LABEL_MOST = 63


class InstanceState(StrEnum):
    """Where an instance stands."""

    RUNNING = "running"
    """It runs, and is healthy where the place can tell."""
    STARTING = "starting"
    UNHEALTHY = "unhealthy"
    STOPPED = "stopped"
    BROKEN = "broken"
    """Some of its parts are missing: a run died half-way. `create` mends it, `destroy` ends it."""


class Action(StrEnum):
    """What a journal entry is about to do."""

    CREATE = "create"
    DELETE = "delete"
    START = "start"
    STOP = "stop"
    RESIZE = "resize"
    ADOPT = "adopt"
    """A thing that was there already is ours from now on: billed since `done`'s `at`."""


class EntryState(StrEnum):
    """How the call of a journal entry ended."""

    INTENDED = "intended"
    """Not known: the process died, or the answer was lost."""
    DONE = "done"
    UNDONE = "undone"
    """Surely nothing was made (or ended) by it."""


class Kind(StrEnum):
    """What a resource is. The first four are priced by the rules of `ledger.hosting`."""

    SERVER = "server"
    IPV4 = "ipv4"
    VOLUME = "volume"
    SNAPSHOT = "snapshot"
    CONTAINER = "container"
    """A seat: an instance on a host that is the operator's or has its own `server` row."""
    NETWORK = "network"
    FIREWALL = "firewall"
    KEY = "key"
    SECRET = "secret"  # noqa: S105  # a kind of resource


@dataclass(frozen=True, slots=True)
class Price:
    """What a thing costs while it exists. Neither amount known: `status` is `unpriced`, never 0."""

    hourly: Decimal | None
    monthly: Decimal | None
    currency: str
    tax: str = "net"
    """`net` or `gross`."""
    status: CostStatus = CostStatus.PAID
    source: str = ""
    """Where it was read: the API's address, a file, or the setting."""
    read: date | None = None
    """When it was read there."""
    reason: str = ""
    """Why it is unpriced."""

    @property
    def per_day(self) -> Decimal | None:
        """The cost of a whole day, or None: 24 hours, at most a day's part of the month's price."""
        by_hour = None if self.hourly is None else self.hourly * 24
        by_month = None if self.monthly is None else self.monthly / DAYS_OF_A_MONTH
        known = [amount for amount in (by_hour, by_month) if amount is not None]
        return min(known, default=None)

    @classmethod
    def unknown(cls, reason: str, currency: str = "EUR") -> "Price":
        """Return the price of something that nobody has priced; `reason` says what to set."""
        return cls(None, None, currency, status=CostStatus.UNPRICED, reason=reason)


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What to start, for whom. Holds no secret."""

    name: str
    """Unique in the farm; it is the idempotency key. See `check_name`."""
    owner: str
    """The person it is for, as written by the operator; `label_value` makes it fit a label."""
    image: str
    generation: str = "g1"
    """Of the run that makes it; `[a-z0-9]+`."""
    memory_mib: int = 512
    cpus: Decimal = Decimal(1)
    pids: int = 256
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables without secrets, such as the budget."""
    budget_month: Decimal | None = None
    currency: str = "USD"
    """Of `budget_month`."""
    port: int | None = None
    """Port of this machine's loopback wanted for the instance's HTTP; None lets the driver probe."""
    healthy_within_s: float = 120.0
    """From the call until it must be healthy; else what this generation made is rolled back."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing in the place that carries our farm's label."""

    kind: Kind
    id: str
    """As the provider names it for ever."""
    name: str
    instance: str
    """Empty for what several instances share, such as a host."""
    generation: str
    owner: str
    """The label's value."""
    type: str | None = None
    location: str | None = None
    size_gb: Decimal | None = None
    parent: str | None = None
    """Id of the server that a volume or an address hangs on."""
    price: Price | None = None
    """None where it costs nothing of its own."""
    created_at: datetime | None = None
    is_running: bool | None = None
    """None where that makes no sense."""
    is_kept: bool = False
    """Whether the settings keep it though nobody uses it."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as the place reports it."""

    name: str
    owner: str
    """As in the spec where the place keeps it, else the label's value."""
    state: InstanceState
    generation: str = ""
    image: str = ""
    """As asked for."""
    image_id: str = ""
    """What it really runs."""
    image_now: str = ""
    """What `image` means today; another than `image_id` is drift. Empty: not known."""
    address: str = ""
    """Where its HTTP is heard, such as `127.0.0.1:41213`; empty for none."""
    host: str = ""
    """Name of the server it sits on; empty for this machine."""
    since: datetime | None = None
    """When it was started last."""
    detail: str = ""
    """Why it is not running, in a few words."""
    resources: tuple[Resource, ...] = ()

    @property
    def has_drifted(self) -> bool:
        """Say whether its image's name means another image by now."""
        return bool(self.image_now and self.image_id and self.image_now != self.image_id)


@dataclass(frozen=True, slots=True)
class Listing:
    """All that carries our farm's label in one place."""

    instances: tuple[Instance, ...]
    resources: tuple[Resource, ...]
    """Every resource, those of the instances too; orphans are those whose instance is not listed or
    whose journal knows nothing of them."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be done to one resource."""

    instance: str
    """Empty for what several instances share."""
    owner: str
    generation: str
    provider: str
    """The driver's name: `docker`, `hetzner`."""
    action: Action
    kind: Kind
    name: str
    type: str | None = None
    location: str | None = None
    size_gb: Decimal | None = None
    price: Price | None = None
    parent: str | None = None
    """Name of the server that it hangs on, or that a seat is placed on."""
    cpus: Decimal | None = None
    """Asked for by a seat, or had by a server for seats: its part of the price goes by these two."""
    memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the journal."""

    id: int
    intent: Intent
    state: EntryState
    intended_at: datetime
    ended_at: datetime | None = None
    """When it took effect in the place, which is when billing begins or ends."""
    resource_id: str = ""
    why: str = ""


class Journal(Protocol):
    """Where the farm writes down what it is about to do. Each verb has committed when it returns."""

    async def intend(self, intent: Intent) -> Entry:
        """Store what is about to be done; said again while still open, the same entry comes back.

        The same means: instance, generation, provider, action, kind and name.
        """

    async def done(
        self, entry: Entry, *, resource_id: str, at: datetime | None = None, price: Price | None = None,
        location: str | None = None, type: str | None = None,
    ) -> Entry:  # fmt: skip
        """Note that it happened; `at` is the provider's time where it says one, else now.

        `price`, `location` and `type` replace the intent's where the place chose another. Said again
        it changes nothing.
        """

    async def undone(self, entry: Entry, *, why: str) -> Entry:
        """Note that it surely did not happen: refused, or looked for and not found."""

    async def entries(
        self, *, provider: str | None = None, instance: str | None = None, only_open: bool = False
    ) -> list[Entry]:
        """Return what is written down, oldest first."""


def _nothing(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Site:
    """Whose farm a driver works for, and what it needs from there."""

    farm: str
    """Id of the farm: `[a-z0-9]+`, at most 16 signs. It is part of labels and names."""
    journal: Journal
    clock: Clock
    folder: Path
    """The operator's folder for what the farm keeps (keys, backups), made with mode 0700."""
    say: Callable[[str], None] = _nothing
    """Tell the person who waits what goes on now, in a few words, without a secret."""


@runtime_checkable
class Driver(Protocol):
    """Start and stop instances in one kind of place."""

    name: str

    async def price(self, spec: InstanceSpec) -> Price:
        """Return what the instance will cost: its machine or its part of one, address and volume.

        Raises:
            InvalidInput: No size is large enough.
        """

    async def create(self, spec: InstanceSpec, secrets: Secrets) -> Instance:
        """Create and start it and wait until it is healthy.

        An existing one of that name and owner comes back as it is; what a dead run left half-made is
        finished, or ended and made anew: one instance or none, never two.

        Raises:
            Conflict: The name belongs to another owner, or to something that is not this farm's.
            InvalidInput: No size is large enough.
            NoCapacity: None of the wanted types and locations is to be had now.
            NotHealthy: It did not get well in time; what this generation made is gone again.
            PlaceError: The place cannot be reached or refuses us.
        """

    async def list(self) -> Listing:
        """Return all that carries this farm's label. Raises PlaceError."""

    async def start(self, name: str) -> None:
        """Start it. Raises NotFound, PlaceError."""

    async def stop(self, name: str) -> None:
        """Stop it, keeping its data. Raises NotFound, PlaceError."""

    async def logs(self, name: str, *, lines: int = 100) -> str:
        """Return the last lines it wrote. Raises NotFound, PlaceError."""

    async def destroy(self, name: str, *, generation: str | None = None) -> None:
        """Remove it, its data and all that carries its label; an unknown name is already destroyed.

        Args:
            name: The instance's.
            generation: Where given, only what that generation made, which may leave a living
                instance of another generation untouched.

        Raises:
            PlaceError: The place cannot be reached; said again it goes on where it stopped.
        """


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command inside an instance did."""

    code: int
    stdout: str
    stderr: str


@runtime_checkable
class Runner(Protocol):
    """What a driver can do besides where the farm can reach inside an instance."""

    async def run(self, name: str, words: "list[str]") -> Ran:
        """Run a command inside a running instance, as its user. Raises NotFound, PlaceError."""


@runtime_checkable
class Keeper(Runner, Protocol):
    """What a driver can do where it reaches an instance's home too."""

    async def save(self, name: str, target: Path) -> None:
        """Write the instance's home as one archive, consistent while it runs. Raises NotFound."""

    async def load(self, name: str, source: Path) -> None:
        """Put an archive's content in place of the home of a stopped instance. Raises NotFound."""

    async def upgrade(self, name: str, image: str, *, generation: str, within_s: float) -> Instance:
        """Run another image on the same home; the old one runs again where the new gets not well.

        Raises:
            NotFound: No such instance.
            NotHealthy: The new image did not get well; the old one runs.
        """


class PlaceError(ConfigError):
    """Say that a place cannot be used, and what the operator can do about it."""


class NoPlace(PlaceError):
    """The place cannot be reached: no daemon, no network, an outage. Nothing is known to have changed."""


class PlaceRefused(PlaceError):
    """The place refuses us: a wrong token, no rights, a quota. Again will not help."""


class PlaceBusy(PlaceError):
    """The place asks for patience; `retry_after_s` is how much."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NoCapacity(SwarmError):
    """None of the wanted types and locations is to be had now; nothing was made."""


class NotHealthy(SwarmError):
    """An instance did not get well in time; `lines` is what it wrote last, without secrets."""

    def __init__(self, message: str, *, lines: str = "") -> None:
        super().__init__(message)
        self.lines = lines


def check_name(name: str) -> str:
    """Return a name that fits every place: host, network, label, file.

    Raises:
        InvalidInput: It does not.
    """
    if NAME_RULE.fullmatch(name) is None or "--" in name:
        raise InvalidInput(
            f"{name!r} cannot be an instance's name: use 1 to 30 small letters, digits and single "
            "dashes, a letter first and no dash last"
        )
    return name


def labels_of(site: Site, *, instance: str, generation: str, owner: str) -> dict[str, str]:
    """Return the labels of a resource; all values fit the narrowest place's rules."""
    return {
        MANAGED_BY: SWARM,
        FARM: site.farm,
        INSTANCE: instance,
        GENERATION: generation,
        OWNER: label_value(owner),
    }


def label_value(text: str) -> str:
    """Make a person's name fit a label: at most 63 letters, digits, dots, dashes and underscores.

    What had to be changed gets six signs of its digest, so that two people never share a label.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    if plain == text and len(text) <= _LABEL_MOST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{plain[: _LABEL_MOST - 7].rstrip('-._')}-{digest}".lstrip("-")
