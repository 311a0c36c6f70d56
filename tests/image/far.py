"""A rented server that is this machine: a real sshd, and behind it the engine of the tests."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from swarm.core.clock import SystemClock
from swarm.core.ids import RandomIds
from swarm.farm.base import InstanceSpec
from swarm.farm.cloud.keys import new_pair
from swarm.farm.farm import Farm
from swarm.farm.records import Records
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import farm_instances, meta, metadata
from tests.farm.clouds import Place, place
from tests.farm.machines import FARM, site, spec
from tests.farm.test_over_ssh import RealShell
from tests.servers.server_over_ssh.sshd import Server, serving
from tools.docker.engine import Engine

IMAGE = "swarm:far"
"""The operator has it; the server's engine lacks it until it is sent."""


@dataclass
class Far:
    """A farm with one server, and what its engine has."""

    at: Place
    farm: Farm
    engine: Engine
    server: Server
    shell: RealShell
    folder: Path
    spec: InstanceSpec = field(
        default_factory=lambda: replace(spec(), image=IMAGE, healthy_within_s=90.0)
    )

    def means(self, tag: str) -> str:
        """Let the image's name mean another image for the operator, and nothing for the server.

        Returns:
            The id of that image.
        """
        self.engine.docker("tag", tag, IMAGE)
        self.engine.docker("save", "--output", str(self.folder / "image.tar"), IMAGE)
        found = self.engine.docker("image", "inspect", "--format", "{{.Id}}", IMAGE)
        self.engine.docker("rmi", IMAGE)
        (self.folder / "image.id").write_text(f"{found}\n")
        return found

    def there(self) -> list[str]:
        """Return the names of all that the farm has on the server."""
        label = f"label=farm={FARM}"
        listed = [
            self.engine.docker(*words, "--filter", label, "--format", "{{.Name}}")
            for words in (("network", "ls"), ("volume", "ls"))
        ]
        boxes = self.engine.docker("ps", "--all", "--filter", label, "--format", "{{.Names}}")
        kept = self.server.folder / "lib"
        files = [str(p.name) for p in kept.iterdir()] if kept.is_dir() else []
        return sorted([*"\n".join([*listed, boxes]).split(), *files])

    def inside(self, *words: str) -> str:
        """Run a command in the instance and return what it printed."""
        return self.engine.docker("exec", f"swarm-{FARM}-ada", *words)


@contextmanager
def far_server(engine: Engine, program: str, folder: Path) -> Iterator[Far]:
    """Open a farm that has nothing yet, and the machine that it will rent."""
    keys = new_pair()
    store = Store(sqlite_url(folder / "farm.db"))
    metadata.create_all(store.engine, tables=[farm_instances, meta])
    with place("hetzner", folder / "operator") as at, serving(folder / "server", keys) as server:
        _furnish(server, engine, program, folder)
        at.over = shell = RealShell(server, at, keys, folder, is_near=False)
        driver = at.driver()
        farm = Farm(
            site=site(at.folder, at.journal, at.said),
            records=Records(store, SystemClock(), RandomIds()), drivers=lambda _: driver,
        )  # fmt: skip
        yield Far(at, farm, engine, server, shell, folder)
    store.close()


def _furnish(server: Server, engine: Engine, program: str, folder: Path) -> None:
    """Put the engine behind the server's `docker`, and a client with its own images before it."""
    said = shlex.join([program, "--host", f"unix://{engine.socket}"])
    _script(server.folder / "bin" / "docker", f'exec {said} "$@"')
    # The server of the tests is nobody's: there, owners are not changed. Here they are.
    (server.folder / "bin" / "chown").unlink()
    here, id_ = shlex.quote(str(folder / "image.tar")), shlex.quote(str(folder / "image.id"))
    _script(
        folder / "docker-here",
        f'for last; do :; done\n[ "$last" = {IMAGE} ] || exec {said} "$@"\n'
        f'case "$1" in save) exec cat {here} ;; *) exec cat {id_} ;; esac',
    )


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
