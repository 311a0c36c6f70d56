"""The farm of this terminal, opened for one command."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from swarm.app import App
from swarm.cli.opened import opened
from swarm.cli.terminal import tell
from swarm.farm.base import Driver, Site
from swarm.farm.docker.config import DockerConfig
from swarm.farm.farm import Farm
from swarm.farm.journal import SqlJournal
from swarm.farm.records import Records
from swarm.farm.registry import DRIVERS
from swarm.settings import Settings

FOLDER = "farm"


@contextmanager
def opened_farm(*, is_told: bool = True) -> Iterator[tuple[App, Farm]]:
    """Open the farm of this home; the home is made where it is missing.

    With `is_told`, what goes on is told on standard error, with the seconds since the command.
    """
    with opened(is_made=True) as app:
        records = Records(app.store, app.clock, app.ids)
        folder = app.home / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        site = Site(
            farm=records.farm_id(), journal=SqlJournal(app.store, app.clock), clock=app.clock,
            folder=folder, say=_clocked() if is_told else lambda _: None,
        )  # fmt: skip
        yield app, Farm(
            site=site, records=records, drivers=_drivers(app.settings, site),
            recipient=app.settings.farm.backup_recipient,
        )  # fmt: skip


def _clocked() -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: tell(f"[{time.monotonic() - began:5.1f} s] {text}")


def _drivers(settings: Settings, site: Site) -> Callable[[str], Driver]:
    """Return what finds a driver by its name and makes it once.

    Raises:
        ConfigError: There is none of that name, or its extra is missing.
    """
    made: dict[str, Driver] = {}

    def find(name: str) -> Driver:
        if name not in made:
            driver: Callable[..., Driver] = DRIVERS.load(name)
            made[name] = driver(site, config_of(settings, name))
        return made[name]

    return find


def config_of(settings: Settings, name: str) -> Any:
    """Return a driver's own settings; a container's machine is, unless said, this home's machine."""
    if name == "docker":
        return machine(settings)
    return getattr(settings.farm, name, None)


def machine(settings: Settings) -> DockerConfig:
    """Return the settings of the local engine, with the machine's price as `hosting:` has it."""
    config, hosting = settings.farm.docker, settings.hosting
    if config.price_month is not None or hosting.price_month is None:
        return config
    is_paid = hosting.provider != "own" if hosting.is_paid is None else hosting.is_paid
    return config.model_copy(
        update={
            "price_month": hosting.price_month,
            "currency": hosting.currency,
            "tax": hosting.tax,
            "is_paid": is_paid,
            "cpus": config.cpus or hosting.cpus,
            "memory_gib": config.memory_gib or hosting.memory_gib,
            "cpu_part": Decimal(hosting.cpu_part),
        }
    )
