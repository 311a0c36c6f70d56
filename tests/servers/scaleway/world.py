"""What exists, and how the API writes it."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from tests.servers.cloud import Billed, Document

GB = 10**9
IPV4_HOURLY = Decimal("0.004")
DISK_GB_HOURLY = {"l_ssd": Decimal("0.000044"), "sbs_volume": Decimal("0.000118")}


@dataclass
class Type:
    """One commercial type."""

    name: str
    ncpus: int
    ram: int
    hourly: Decimal
    local_gb: int
    """How much local disk it takes; 0: block volumes alone."""
    arch: str = "x86_64"
    zones: tuple[str, ...] = ("fr-par-1", "nl-ams-1", "pl-waw-2")
    sold_out: set[str] = field(default_factory=set)
    """Zones in which it cannot be created."""
    short: set[str] = field(default_factory=set)
    """Zones in which it says so beforehand."""
    end_of_service: bool = False

    def document(self) -> Document:
        """Return it as the API writes it."""
        return {
            "hourly_price": float(self.hourly), "monthly_price": float(self.hourly * 730),
            "ncpus": self.ncpus, "ram": self.ram, "arch": self.arch, "alt_names": [],
            "volumes_constraint": {"min_size": 0, "max_size": self.local_gb * GB},
            "end_of_service": self.end_of_service, "baremetal": False, "gpu": 0,
        }  # fmt: skip


def default_types() -> dict[str, Type]:
    """Return what is for sale, by name."""
    gib = 1024**3
    rows = [
        Type("DEV1-S", 2, 2 * gib, Decimal("0.0137"), 20),
        Type("DEV1-M", 3, 4 * gib, Decimal("0.0256"), 40),
        Type("PLAY2-NANO", 2, 8 * gib, Decimal("0.027"), 0),
        Type("COPARM1-2C-8G", 2, 8 * gib, Decimal("0.0426"), 0, arch="arm64"),
        Type("START1-XS", 1, 1 * gib, Decimal("0.0062"), 25, end_of_service=True),
    ]
    return {row.name: row for row in rows}


@dataclass
class Volume:
    """A disk, on the server or in the block storage."""

    id: str
    name: str
    zone: str
    size: int
    type: str
    server: str | None
    tags: list[str]
    created: str
    bill: Billed | None = None

    def of_server(self) -> Document:
        """Return it as a server lists it: of a block volume little more than its id."""
        if self.type == "sbs_volume":
            return {"id": self.id, "volume_type": self.type, "boot": False, "zone": self.zone}
        return {
            "id": self.id, "volume_type": self.type, "boot": False, "zone": self.zone,
            "name": self.name, "size": self.size, "state": "available", "export_uri": None,
        }  # fmt: skip

    def block(self) -> Document:
        """Return it as the block storage lists it."""
        references = [
            {"id": str(uuid.uuid4()), "product_resource_type": "instance_server",
             "product_resource_id": self.server, "created_at": self.created, "type": "exclusive",
             "status": "attached"}
        ]  # fmt: skip
        return {
            "id": self.id, "name": self.name, "type": "sbs_5k", "size": self.size, "tags": self.tags,
            "project_id": str(uuid.UUID(int=7)), "references": references if self.server else [],
            "created_at": self.created, "updated_at": self.created, "zone": self.zone,
            "status": "in_use" if self.server else "available", "parent_snapshot_id": None,
            "specs": {"perf_iops": 5000, "class": "sbs"}, "last_detached_at": None,
        }  # fmt: skip


@dataclass
class Ip:
    """A flexible address; it costs whether it is used or not."""

    id: str
    address: str
    zone: str
    tags: list[str]
    server: str | None = None
    bill: Billed | None = None

    def document(self) -> Document:
        """Return it as the API writes it."""
        return {
            "id": self.id, "address": self.address, "type": "routed_ipv4", "state": "attached"
            if self.server else "detached", "tags": self.tags, "zone": self.zone,
            "server": {"id": self.server, "name": ""} if self.server else None,
            "organization": str(uuid.UUID(int=8)), "project": str(uuid.UUID(int=7)),
            "reverse": None, "prefix": None, "ipam_id": str(uuid.UUID(int=9)),
        }  # fmt: skip


@dataclass
class Group:
    """A security group."""

    id: str
    name: str
    zone: str
    tags: list[str]
    inbound: str
    outbound: str
    stateful: bool
    created: str
    rules: list[Document] = field(default_factory=list)

    def document(self) -> Document:
        """Return it as the API writes it."""
        return {
            "id": self.id, "name": self.name, "description": "", "enable_default_security": True,
            "inbound_default_policy": self.inbound, "outbound_default_policy": self.outbound,
            "organization": str(uuid.UUID(int=8)), "project": str(uuid.UUID(int=7)),
            "tags": self.tags, "project_default": False, "organization_default": False,
            "servers": [], "stateful": self.stateful, "state": "available", "zone": self.zone,
            "creation_date": self.created, "modification_date": self.created,
        }  # fmt: skip


@dataclass
class Server:
    """An instance."""

    id: str
    name: str
    zone: str
    type: Type
    tags: list[str]
    group: str
    created: str
    ips: list[Ip]
    volumes: list[Volume]
    state: str = "stopped"
    state_detail: str = ""
    user_data: dict[str, str] = field(default_factory=dict)
    user_data_at_boot: str = ""
    """What cloud-init found at the first start."""
    looks: int = 0
    """How many more looks its start takes."""
    bill: Billed | None = None

    def document(self) -> Document:
        """Return it as the API writes it."""
        return {
            "id": self.id, "name": self.name, "organization": str(uuid.UUID(int=8)),
            "project": str(uuid.UUID(int=7)), "allowed_actions": ["poweron"], "tags": self.tags,
            "commercial_type": self.type.name, "creation_date": self.created, "hostname": self.name,
            "dynamic_ip_required": False, "routed_ip_enabled": True, "enable_ipv6": False,
            "protected": False, "mac_address": "de:00:00:00:00:01", "private_ip": None,
            "public_ip": None, "modification_date": self.created, "state": self.state,
            "state_detail": self.state_detail, "boot_type": "local", "ipv6": None,
            "maintenances": [], "arch": self.type.arch, "private_nics": [], "zone": self.zone,
            "filesystems": [], "end_of_service": False, "image": None, "location": None,
            "security_group": {"id": self.group, "name": ""}, "placement_group": None,
            "volumes": {str(n): volume.of_server() for n, volume in enumerate(self.volumes)},
            "public_ips": [
                {
                    "id": ip.id, "address": ip.address, "gateway": None, "netmask": "32",
                    "family": "inet", "dynamic": False, "provisioning_mode": "dhcp",
                    "tags": ip.tags, "state": "attached", "ipam_id": str(uuid.UUID(int=9)),
                }
                for ip in self.ips
            ],
        }  # fmt: skip


def stamp(now_s: float) -> str:
    """Write a time as the API does."""
    return datetime.fromtimestamp(now_s, UTC).isoformat()
