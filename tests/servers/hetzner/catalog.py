"""What the cloud sells: types, places, images and prices. The prices are made up for tests."""

from dataclasses import dataclass, field
from decimal import Decimal

from tests.servers.cloud import Document

LOCATIONS = {
    "fsn1": ("Falkenstein", "DE", "eu-central"),
    "nbg1": ("Nuremberg", "DE", "eu-central"),
    "hel1": ("Helsinki", "FI", "eu-central"),
    "ash": ("Ashburn, VA", "US", "us-east"),
}
VAT = Decimal("1.19")
IPV4_HOURLY, IPV4_MONTHLY = Decimal("0.0008"), Decimal("0.50")
VOLUME_GB_MONTHLY = Decimal("0.0572")


@dataclass
class Type:
    """One server type."""

    id: int
    name: str
    cores: int
    memory_gb: int
    disk_gb: int
    hourly: Decimal
    monthly: Decimal
    architecture: str = "x86"
    locations: tuple[str, ...] = ("fsn1", "nbg1", "hel1", "ash")
    sold_out: set[str] = field(default_factory=set)
    """Places where it cannot be had."""
    short: set[str] = field(default_factory=set)
    """Places where it says so beforehand."""
    retired: bool = False
    """Still listed, no longer sold."""


def default_types() -> dict[str, Type]:
    """Return what is for sale, by name."""
    rows = [
        Type(114, "cx23", 2, 4, 40, Decimal("0.0064"), Decimal("3.99")),
        Type(115, "cx33", 4, 8, 80, Decimal("0.0104"), Decimal("6.49")),
        Type(116, "cx43", 8, 16, 160, Decimal("0.0192"), Decimal("11.99")),
        Type(45, "cax11", 2, 4, 40, Decimal("0.0072"), Decimal("4.49"), architecture="arm"),
        Type(22, "cpx11", 2, 2, 40, Decimal("0.0080"), Decimal("4.99"), retired=True),
    ]
    return {row.name: row for row in rows}


def location(name: str) -> Document:
    """Return a place as the API writes it."""
    city, country, zone = LOCATIONS[name]
    return {
        "id": list(LOCATIONS).index(name) + 1, "name": name, "city": city, "country": country,
        "description": f"{city} DC Park 1", "latitude": 50.47612, "longitude": 12.370071,
        "network_zone": zone,
    }  # fmt: skip


def datacenter(name: str) -> Document:
    """Return the data centre of a place, which older clients read."""
    return {
        "id": list(LOCATIONS).index(name) + 1, "name": f"{name}-dc1", "description": f"{name} DC 1",
        "location": location(name),
        "server_types": {"available": [], "available_for_migration": [], "supported": []},
    }  # fmt: skip


def price(net: Decimal) -> Document:
    """Return an amount as the API writes it: strings, net and gross."""
    return {"net": f"{net:.10f}", "gross": f"{net * VAT:.16f}"}


def type_prices(row: Type) -> list[Document]:
    """Return a type's price in each place."""
    return [
        {
            "location": name, "price_hourly": price(row.hourly),
            "price_monthly": price(row.monthly), "included_traffic": 21990232555520,
            "price_per_tb_traffic": price(Decimal(1)),
        }
        for name in row.locations
    ]  # fmt: skip


def server_type(row: Type) -> Document:
    """Return a type as the API writes it, with what came after the contract at hand."""
    gone = (
        {"announced": "2026-01-01T00:00:00Z", "unavailable_after": "2026-04-01T00:00:00Z"}
        if row.retired
        else None
    )
    return {
        "id": row.id, "name": row.name, "description": row.name.upper(), "category": "cost_optimized",
        "cores": row.cores, "memory": row.memory_gb, "disk": row.disk_gb, "cpu_type": "shared",
        "storage_type": "local", "architecture": row.architecture, "deprecated": row.retired,
        "deprecation": gone, "prices": type_prices(row),
        "locations": [
            {
                **{key: location(name)[key] for key in ("id", "name")}, "deprecation": gone,
                "available": name not in row.short and not row.retired, "recommended": False,
            }
            for name in row.locations
        ],
    }  # fmt: skip


def image() -> Document:
    """Return the system image that servers are made from."""
    return {
        "id": 114690387, "name": "debian-12", "description": "Debian 12", "type": "system",
        "status": "available", "architecture": "x86", "bound_to": None, "created_from": None,
        "created": "2023-06-13T06:00:10Z", "deleted": None, "deprecated": None, "disk_size": 5,
        "image_size": None, "labels": {}, "os_flavor": "debian", "os_version": "12",
        "protection": {"delete": False}, "rapid_deploy": True,
    }  # fmt: skip


def pricing(types: dict[str, Type]) -> Document:
    """Return the price list as the API writes it."""
    here = [name for name, row in LOCATIONS.items() if row[2] == "eu-central"]
    addresses = [
        {
            "type": kind,
            "prices": [
                {"location": name, "price_hourly": price(hourly), "price_monthly": price(monthly)}
                for name in here
            ],
        }
        for kind, hourly, monthly in (
            ("ipv4", IPV4_HOURLY, IPV4_MONTHLY), ("ipv6", Decimal(0), Decimal(0)),
        )
    ]  # fmt: skip
    return {
        "currency": "EUR", "vat_rate": "19.00", "primary_ips": addresses,
        "floating_ip": {"price_monthly": price(Decimal(3))},
        "floating_ips": [
            {
                "type": "ipv4",
                "prices": [{"location": n, "price_monthly": price(Decimal(3))} for n in here],
            }
        ],
        "image": {"price_per_gb_month": price(Decimal("0.0143"))},
        "load_balancer_types": [], "server_backup": {"percentage": "20.00"},
        "server_types": [
            {"id": row.id, "name": row.name, "prices": type_prices(row)} for row in types.values()
        ],
        "volume": {"price_per_gb_month": price(VOLUME_GB_MONTHLY)},
    }  # fmt: skip
