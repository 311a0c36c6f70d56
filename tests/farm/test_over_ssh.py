"""Instances on servers through a real sshd: the host key, deadlines, homes carried, other images.

Behind it stands something that takes the words said to Docker and runs what is run inside for real.
"""

import asyncio
import itertools
import json
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pytest

from swarm.core.clock import SystemClock
from swarm.core.errors import Conflict, NotFound
from swarm.core.ids import RandomIds
from swarm.farm.base import (
    InstanceState,
    Keeper,
    Kind,
    NoPlace,
    NotHealthy,
    PlaceError,
    PlaceRefused,
    Ran,
)
from swarm.farm.cloud.keys import Pair, new_pair
from swarm.farm.cloud.seats import FOLDER
from swarm.farm.cloud.ssh import Reach, SshShell
from swarm.farm.farm import Farm
from swarm.farm.reconcile import compare
from swarm.farm.records import Records
from swarm.farm.steps import living
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import farm_instances, meta, metadata
from tests.farm.clouds import Place, place
from tests.farm.machines import SECRETS, site, spec
from tests.servers.server_over_ssh.sshd import Server, made_server, serving, sshd

pytestmark = pytest.mark.timeout(180)
needs_sshd = pytest.mark.skipif(
    sshd() is None, reason="no sshd here: apt-get install openssh-server"
)
SPEC = replace(spec(), healthy_within_s=20.0)


class RealShell(SshShell):
    """SSH as it is, to one server here; only its first start and enrolment are a stand-in's.

    With `is_near`, the same words are run here without SSH, which takes a tenth of the time.
    """

    def __init__(
        self, server: Server, at: Place, keys: Pair, folder: Path, *, is_near: bool
    ) -> None:
        super().__init__(docker=str(folder / "docker-here"))
        self._server, self._at, self._keys, self.is_near = server, at, keys, is_near
        self.commands = 0
        self.dies_at: int | None = None
        """The command before which the operator's line is cut."""

    def reached(self, reach: Reach) -> Reach:
        """Return the way to the server that stands for a vendor's."""
        return replace(reach, address="127.0.0.1", port=self._server.port, user=self._server.user)

    async def run(
        self, reach: Reach, words: Any, *, stdin: bytes = b"", timeout_s: float = 60.0,
        stdout: IO[bytes] | None = None, source: IO[bytes] | None = None,
    ) -> Ran:  # fmt: skip
        if words[0] in ("true", "cloud-init") or words[0].endswith("swarm-enrol"):
            ran = await self._at.shell.run(reach, words, stdin=stdin)
            host = self._at.host()
            if host.next_key is not None:
                host.next_key = self._keys.public
            self._server.allow(host.authorized[0])
            return ran if words[1:] != ["begin"] else Ran(0, self._keys.public, "")
        self.commands += 1
        if self.dies_at is not None and self.commands > self.dies_at:
            raise NoPlace("the line is cut")
        here = [word.replace(FOLDER, str(self._server.folder / "lib")) for word in words]
        if self.is_near:
            return await self._run_here(here, stdin=stdin, stdout=stdout, source=source)
        return await super().run(
            self.reached(reach), here, stdin=stdin, timeout_s=timeout_s, stdout=stdout,
            source=source,
        )  # fmt: skip

    async def _run_here(
        self, words: list[str], *, stdin: bytes, stdout: IO[bytes] | None, source: IO[bytes] | None
    ) -> Ran:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=source or asyncio.subprocess.PIPE, stdout=stdout or asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env={"PATH": self._server.path},
        )  # fmt: skip
        out, err = await process.communicate(None if source else stdin)
        assert process.returncode is not None
        return Ran(process.returncode, (out or b"").decode(), err.decode())

    async def send_image(self, reach: Reach, image: str, *, timeout_s: float) -> Ran:
        if self.is_near:
            text = (self._server.folder.parent / "images" / image).read_bytes()
            return await self._run_here(["docker", "load"], stdin=text, stdout=None, source=None)
        return await super().send_image(self.reached(reach), image, timeout_s=timeout_s)


@dataclass
class Ground:
    """A farm with one rented server that is this machine."""

    at: Place
    server: Server
    shell: RealShell
    farm: Farm
    folder: Path

    async def begin(self) -> None:
        """Start the instance, with something in its home."""
        self.image("swarm:test", "sha256:one")
        await self.farm.up(SPEC, SECRETS, driver="hetzner")
        self.fill("0015")

    def image(self, name: str, id_: str, *, becomes: str = "well") -> None:
        """Let an image's name mean something on the operator's machine: it gets well, ill, or dies."""
        (self.folder / "images" / name).write_text(f"{name} {id_} {becomes}\n")

    def books(self) -> Any:
        """What the server has."""
        return json.loads((self.server.place / "books.json").read_text())

    def home(self) -> Path:
        """The home of the only instance."""
        (found,) = (self.server.place / "volumes").iterdir()
        return found

    def fill(self, schema: str) -> None:
        """Let the home hold books of a form."""
        with closing(sqlite3.connect(self.home() / "swarm.db")) as books:
            books.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, text TEXT)")
            books.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
            books.execute("DELETE FROM alembic_version")
            books.execute("INSERT INTO alembic_version VALUES (?)", (schema,))
            books.execute("INSERT INTO orders (text) VALUES (?)", ("x" * 4000,))
            books.commit()

    def orders(self) -> int:
        """Count what the home's books hold."""
        with closing(sqlite3.connect(self.home() / "swarm.db")) as books:
            return int(books.execute("SELECT count(*) FROM orders").fetchone()[0])

    def settled(self) -> None:
        """Hold the books against the server: one container that runs, one living seat, no rest."""
        ((name, box),) = self.books()["containers"].items()
        assert not name.endswith(("--next", "--helper"))
        assert box["runs"]
        assert self.at.journal.open == []
        seats = [e for e in living(self.at.journal.rows) if e.intent.kind is Kind.CONTAINER]
        assert [e.resource_id for e in seats] == [box["id"]]
        assert not list(self.home().glob(".farm-*"))


@pytest.fixture(scope="module")
def keys() -> Pair:
    return new_pair()


@contextmanager
def opened(folder: Path, keys: Pair, *, is_near: bool) -> Iterator[Ground]:
    """Open a farm that has nothing yet, and the machine that it will rent."""
    (folder / "images").mkdir()
    here = folder / "docker-here"
    here.write_text(
        f"#!/bin/sh\nfor last; do :; done\ncd {folder / 'images'}\n"
        'case "$1" in save) cat "$last" ;; *) cut -d" " -f2 "$last" ;; esac\n'
    )
    here.chmod(0o755)
    store = Store(sqlite_url(folder / "farm.db"))
    metadata.create_all(store.engine, tables=[farm_instances, meta])
    with place("hetzner", folder / "operator") as at, ExitStack() as stack:
        made = folder / "server"
        server = made_server(made, keys) if is_near else stack.enter_context(serving(made, keys))
        at.over = shell = RealShell(server, at, keys, folder, is_near=is_near)
        driver = at.driver()
        made_at = site(at.folder, at.journal, at.said)
        records = Records(store, SystemClock(), RandomIds())
        yield Ground(
            at, server, shell, Farm(site=made_at, records=records, drivers=lambda _: driver), folder
        )
    store.close()


@pytest.fixture
async def far(tmp_path: Path, keys: Pair) -> AsyncIterator[Ground]:
    """An instance behind SSH."""
    with opened(tmp_path, keys, is_near=False) as ground:
        await ground.begin()
        yield ground


@pytest.fixture
async def near(tmp_path: Path, keys: Pair) -> AsyncIterator[Ground]:
    """The same, and the words to its server go there without SSH."""
    with opened(tmp_path, keys, is_near=True) as ground:
        await ground.begin()
        yield ground


@pytest.fixture
def reach(tmp_path: Path, keys: Pair) -> Iterator[Reach]:
    """The way to a server, and no farm."""
    own = new_pair()
    key, known = tmp_path / "operator", tmp_path / "known_hosts"
    key.touch(mode=0o600)
    key.write_text(own.private)
    known.write_text(f"swarm-f1-host1 {keys.public}\n")
    with serving(tmp_path / "server", keys) as server:
        server.allow(own.public)
        yield Reach("swarm-f1-host1", "127.0.0.1", known, key, server.user, server.port)


@needs_sshd
async def test_a_home_comes_over_ssh_whole_sealed_and_goes_back(
    far: Ground, tmp_path: Path
) -> None:
    ground = far
    pyrage = pytest.importorskip("pyrage", reason="sealing needs the extra `age`")
    key = pyrage.x25519.Identity.generate()
    identity = tmp_path / "key"
    identity.write_text(f"{key}\n")
    ground.farm._recipient = str(key.to_public())
    assert isinstance(ground.at.driver(), Keeper)
    held = await ground.farm.backup("ada")
    assert (held.orders, held.schema, held.is_sealed) == (1, "0015", True)
    ground.fill("0015")
    assert ground.orders() == 2
    done = await ground.farm.restore("ada", held.path, identity=identity)
    assert (ground.orders(), done.is_audit_whole) == (1, True)
    assert done.instance.state is not InstanceState.STOPPED
    await lost(ground, ground.folder / "out" / "mine.tar.gz")


async def lost(ground: Ground, target: Path) -> None:
    """Cut the line in the middle of a backup: no file is left, and the next one is whole."""
    before, known = files(ground.folder), ground.farm.records.get("ada").backup
    (ground.server.place / "stall").touch()
    saving = asyncio.create_task(ground.farm.backup("ada", target))
    half = ground.server.place / "half"
    while not (half.exists() and half.read_text()):
        assert not saving.done(), saving.exception()
        await asyncio.sleep(0.02)
    os.kill(int(half.read_text()), signal.SIGKILL)
    with pytest.raises(NoPlace, match="cannot be reached by SSH"):
        await saving
    assert files(ground.folder) == before
    assert ground.farm.records.get("ada").backup == known
    assert (await ground.farm.backup("ada", target)).orders == 1


def files(folder: Path) -> set[Path]:
    """Return what is, or was to become, an archive."""
    return {p for p in folder.rglob("*") if p.name.endswith((".gz", ".age", ".part"))}


async def test_what_runs_is_not_loaded_and_what_stands_is_saved_beside(near: Ground) -> None:
    driver, alone = near.at.driver(), near.folder / "alone.tar.gz"
    with pytest.raises(Conflict, match="stop it first"):
        await driver.load("ada", alone)
    await near.farm.stop("ada")
    await driver.save("ada", alone)
    near.fill("0015")
    await driver.load("ada", alone)
    assert near.orders() == 1
    bad = near.folder / "bad"
    bad.write_bytes(b"nothing of the kind")
    with pytest.raises(PlaceError, match="carried: the archive is not whole"):
        await driver.load("ada", bad)
    assert near.orders() == 1
    with pytest.raises(NotFound, match="does not run"):
        await driver.run("ada", ["swarm", "audit", "verify"])
    near.shell.commands, near.shell.dies_at = 0, 2
    gone = near.folder / "gone.tar.gz"
    with pytest.raises(NoPlace):
        await driver.save("ada", gone)
    assert not gone.exists()


async def test_an_upgrade_is_gated_by_health_and_goes_back_by_itself(near: Ground) -> None:
    ground = near
    ground.image("swarm:bad", "sha256:bad", becomes="ill")
    with pytest.raises(NotHealthy, match="The old image runs again, with all it had"):
        await ground.farm.upgrade("ada", "swarm:bad", within_s=0.3)
    ground.settled()
    ground.image("swarm:dies", "sha256:dies", becomes="dies")
    with pytest.raises(NotHealthy, match=r"ended by itself again and again.*The old image runs"):
        await ground.farm.upgrade("ada", "swarm:dies", within_s=60)
    ground.settled()
    record = ground.farm.records.get("ada")
    assert (record.spec.image, record.pending) == ("swarm:test", None)
    ground.image("swarm:next", "sha256:two")
    made = await ground.farm.upgrade("ada", "swarm:next", within_s=10)
    assert (made.image, made.image_id) == ("swarm:next", "sha256:two")
    ground.settled()
    assert ground.orders() == 1
    (found,) = (await ground.at.driver().list()).instances
    assert (found.generation, found.image) == (made.generation, "swarm:next")
    loads = ground.books()["loads"]
    assert (await ground.farm.upgrade("ada", "swarm:next", within_s=10)).image_id == "sha256:two"
    assert ground.books()["loads"] == loads
    ground.image("swarm:next", "sha256:three")
    assert (await ground.farm.upgrade("ada", "swarm:next", within_s=10)).image_id == "sha256:three"
    # The server itself died between the end of the old container and the new one's name.
    books = ground.books()
    books["containers"] = {f"{name}--next": box for name, box in books["containers"].items()}
    (ground.server.place / "books.json").write_text(json.dumps(books))
    assert (await ground.farm.upgrade("ada", "swarm:next", within_s=10)).image_id == "sha256:three"
    ground.settled()
    findings = compare(
        await ground.at.driver().list(), ground.at.journal.rows, ground.farm.records.all(),
        provider="hetzner",
    )  # fmt: skip
    assert [f for f in findings if f.instance == "ada"] == []
    await ground.farm.remove("ada")
    assert ground.at.leftovers() == []
    assert ground.at.journal.open == []


async def test_an_engine_that_is_down_is_not_one_that_has_nothing(near: Ground) -> None:
    ground, driver = near, near.at.driver(keep_empty=True)
    down = ground.server.place / "down"
    down.touch()
    for ask in (driver.destroy, driver.stop, driver.start):
        with pytest.raises(NoPlace, match="Docker on swarm-f1-host1 does not answer"):
            await ask("ada")
    (shown,) = (await driver.list()).instances
    assert (shown.name, shown.state) == ("ada", InstanceState.BROKEN)
    assert any("Docker on swarm-f1-host1" in said for said in ground.at.said)
    down.unlink()
    assert ground.orders() == 1
    (box,) = ground.books()["containers"].values()
    assert box["runs"]
    await ground.farm.remove("ada", keeps_backup=False)
    assert ground.books()["containers"] == {}
    assert not list((ground.server.place / "volumes").iterdir())
    assert ground.at.leftovers() == ground.at.journal.open == []


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.chaos)])
async def test_an_upgrade_cut_off_anywhere_and_said_again_leaves_one_that_serves(
    near: Ground, every: int
) -> None:
    """Before each so-manyth command the line is dead from there on; another run comes later."""
    ground = near
    images = itertools.cycle(("swarm:next", "swarm:test"))
    for at in itertools.count(1, every):
        name = next(images)
        ground.image(name, f"sha256:{name}-{at}")
        ground.shell.commands, ground.shell.dies_at = 0, at
        try:
            await ground.farm.upgrade("ada", name, within_s=10)
        except NoPlace:
            ground.shell.dies_at = None
            made = await ground.farm.upgrade("ada", name, within_s=10)
            assert made.image == name
            ground.settled()
            assert ground.orders() == 1
        else:
            break
    ground.shell.dies_at = None
    assert at > 12
    ground.settled()


@needs_sshd
async def test_a_server_with_another_host_key_is_told_nothing(
    reach: Reach, keys: Pair, tmp_path: Path
) -> None:
    shell = SshShell()
    assert (await shell.run(reach, ["echo", "it's", "me"])).stdout == "it's me\n"
    log = tmp_path / "server" / "log"
    before, touched = len(log.read_text()), tmp_path / "touched"
    for line in (f"{reach.name} {new_pair().public}\n", "", f"other {keys.public}\n"):
        reach.known_hosts.write_text(line)
        with pytest.raises(PlaceRefused, match="host key that is not the one"):
            await shell.run(reach, ["touch", str(touched)])
    assert not is_there(touched)
    assert "Accepted" not in log.read_text()[before:]
    reach.known_hosts.write_text(f"{reach.name} {keys.public}\n")
    assert reach.private_key is not None
    reach.private_key.write_text(new_pair().private)
    with pytest.raises(PlaceRefused, match="refuses the operator's key"):
        await shell.run(reach, ["true"])


def is_there(path: Path) -> bool:
    return path.exists()


@needs_sshd
async def test_a_command_that_hangs_and_a_server_that_is_silent_are_given_up(
    reach: Reach,
) -> None:
    with pytest.raises(NoPlace, match="did not end a command within 1 s"):
        await SshShell().run(reach, ["sleep", "4"], timeout_s=1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(NoPlace, match="cannot be reached by SSH"):
            await SshShell(connect_s=1).run(replace(reach, port=port), ["true"])
    with pytest.raises(NoPlace, match="cannot be reached by SSH"):
        await SshShell().run(replace(reach, port=port), ["true"])
