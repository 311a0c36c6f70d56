"""What exists in the cloud, and how the API writes it."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.servers.cloud import Billed, Document
from tests.servers.hetzner import catalog

HOURS_OF_MONTH = 730


@dataclass
class Action:
    """Something that takes a while. It ends after so many looks."""

    id: int
    command: str
    resources: list[Document]
    started: str
    looks: int = 1
    error: Document | None = None
    """How it will end, if badly."""
    status: str = "running"
    on_end: Any = None
    on_error: Any = None

    def look(self) -> None:
        """Move on by one look."""
        if self.status == "running":
            self.looks -= 1
            if self.looks <= 0:
                self.status = "error" if self.error else "success"
                after = self.on_error if self.error else self.on_end
                if after is not None:
                    after()

    def document(self) -> Document:
        """Return it as the API writes it."""
        over = self.status != "running"
        return {
            "id": self.id, "command": self.command, "status": self.status,
            "progress": 100 if over else 50, "started": self.started,
            "finished": self.started if over else None, "resources": self.resources,
            "error": self.error if self.status == "error" else None,
        }  # fmt: skip


@dataclass
class Thing:
    """A resource with a name and labels."""

    id: int
    name: str
    labels: dict[str, str]
    created: str


@dataclass
class Key(Thing):
    """An SSH key."""

    public_key: str = ""

    @property
    def fingerprint(self) -> str:
        """What the vendor shows of a key."""
        digest = hashlib.md5(self.public_key.split()[1].encode()).hexdigest()
        return ":".join(re.findall("..", digest))

    def document(self) -> Document:
        """Return it as the API writes it."""
        return {
            "id": self.id, "name": self.name, "labels": self.labels, "created": self.created,
            "fingerprint": self.fingerprint, "public_key": self.public_key,
        }  # fmt: skip


@dataclass
class Firewall(Thing):
    """A firewall and the servers behind it."""

    rules: list[Document] = field(default_factory=list)
    servers: set[int] = field(default_factory=set)

    def document(self) -> Document:
        """Return it as the API writes it."""
        blank: Document = {
            "port": None,
            "description": None,
            "source_ips": [],
            "destination_ips": [],
        }
        return {
            "id": self.id, "name": self.name, "labels": self.labels, "created": self.created,
            "rules": [{**blank, **rule} for rule in self.rules],
            "applied_to": [{"type": "server", "server": {"id": n}} for n in sorted(self.servers)],
        }  # fmt: skip


@dataclass
class Address(Thing):
    """A primary IP; one that is not deleted with its server goes on costing."""

    ip: str = ""
    type: str = "ipv4"
    location: str = "fsn1"
    server: int | None = None
    auto_delete: bool = True
    bill: Billed | None = None

    def document(self) -> Document:
        """Return it as the API writes it."""
        return {
            "id": self.id, "name": self.name, "labels": self.labels, "created": self.created,
            "ip": self.ip, "type": self.type, "assignee_id": self.server, "blocked": False,
            "assignee_type": "server", "auto_delete": self.auto_delete, "dns_ptr": [],
            "datacenter": catalog.datacenter(self.location),
            "location": catalog.location(self.location), "protection": {"delete": False},
        }  # fmt: skip


@dataclass
class Volume(Thing):
    """A volume; deleting its server lets it be."""

    size: int = 10
    location: str = "fsn1"
    server: int | None = None
    bill: Billed | None = None

    def document(self) -> Document:
        """Return it as the API writes it."""
        return {
            "id": self.id, "name": self.name, "labels": self.labels, "created": self.created,
            "size": self.size, "server": self.server, "status": "available", "format": None,
            "linux_device": f"/dev/disk/by-id/scsi-0HC_Volume_{self.id}",
            "location": catalog.location(self.location), "protection": {"delete": False},
        }  # fmt: skip


@dataclass
class Server(Thing):
    """A server."""

    type: catalog.Type = field(default_factory=lambda: catalog.default_types()["cx23"])
    location: str = "fsn1"
    status: str = "initializing"
    user_data: str = ""
    keys: list[int] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    firewalls: list[int] = field(default_factory=list)
    volumes: list[int] = field(default_factory=list)
    password: str | None = None
    """Mailed to the owner of the project where no key was given."""
    bill: Billed | None = None
    is_locked: bool = False

    def document(self) -> Document:
        """Return it as the API writes it."""
        by_type = {each.type: each for each in self.addresses}
        four, six = by_type.get("ipv4"), by_type.get("ipv6")
        return {
            "id": self.id, "name": self.name, "labels": self.labels, "created": self.created,
            "status": self.status, "locked": self.is_locked, "backup_window": None,
            "datacenter": catalog.datacenter(self.location),
            "location": catalog.location(self.location), "image": catalog.image(), "iso": None,
            "included_traffic": 21990232555520, "ingoing_traffic": 0, "outgoing_traffic": 0,
            "load_balancers": [], "primary_disk_size": self.type.disk_gb, "private_net": [],
            "protection": {"delete": False, "rebuild": False}, "rescue_enabled": False,
            "placement_group": None, "server_type": catalog.server_type(self.type),
            "volumes": self.volumes,
            "public_net": {
                "floating_ips": [],
                "firewalls": [{"id": each, "status": "applied"} for each in self.firewalls],
                "ipv4": four and {
                    "id": four.id, "ip": four.ip, "blocked": False, "dns_ptr": f"{four.ip}.example",
                },
                "ipv6": six and {"id": six.id, "ip": six.ip, "blocked": False, "dns_ptr": []},
            },
        }  # fmt: skip


class World:
    """Everything in one project."""

    def __init__(self) -> None:
        self.types = catalog.default_types()
        self.servers: dict[int, Server] = {}
        self.actions: dict[int, Action] = {}
        self.keys: dict[int, Key] = {}
        self.firewalls: dict[int, Firewall] = {}
        self.addresses: dict[int, Address] = {}
        self.volumes: dict[int, Volume] = {}
        self.mails: list[str] = []
        """What the vendor mailed to the owner: root passwords."""
        self.ever: list[str] = []
        """Names of the servers that were ever made."""
        self.looks = 1
        """How many looks an action takes."""
        self.bad_ends: dict[str, Document] = {}
        """Errors with which the next action of a command ends."""
        self.always_bad: dict[str, Document] = {}
        """The same for every action of a command."""
        self.currency = "EUR"
        self.says_places = True
        """Whether a type says where it is sold."""
        self._last = 1000

    def number(self) -> int:
        """Return a new id."""
        self._last += 1
        return self._last

    def action(
        self, command: str, now_s: float, *, server: int | None = None, on_end: Any = None,
        on_error: Any = None,
    ) -> Action:  # fmt: skip
        """Begin something that takes a while."""
        made = Action(
            self.number(), command,
            [{"id": server, "type": "server"}] if server is not None else [], stamp(now_s),
            looks=self.looks, on_end=on_end, on_error=on_error,
            error=self.bad_ends.pop(command, None) or self.always_bad.get(command),
        )  # fmt: skip
        self.actions[made.id] = made
        return made


def stamp(now_s: float) -> str:
    """Write a time as the API does."""
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def hourly_of_volume(size_gb: int) -> Decimal:
    """Return what a volume costs an hour."""
    return catalog.VOLUME_GB_MONTHLY * size_gb / HOURS_OF_MONTH


def selected(labels: dict[str, str], selector: str) -> bool:
    """Say whether labels meet a selector: `k=v`, `k==v`, `k!=v`, `k`, joined by commas."""
    for part in filter(None, selector.split(",")):
        if "!=" in part:
            key, _, value = part.partition("!=")
            met = labels.get(key) != value
        elif "=" in part:
            key, _, value = part.replace("==", "=").partition("=")
            met = labels.get(key) == value
        else:
            met = part in labels
        if not met:
            return False
    return True
