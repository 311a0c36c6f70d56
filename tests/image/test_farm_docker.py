"""The farm on a real engine: the room's contract, limits and rights, upgrades, backups, deaths."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from swarm.core.clock import SystemClock
from swarm.core.errors import InvalidInput, NotFound
from swarm.core.ids import RandomIds
from swarm.farm.base import InstanceState, NoPlace, NotHealthy
from swarm.farm.docker.config import DockerConfig
from swarm.farm.docker.driver import DockerDriver
from swarm.farm.farm import Farm
from swarm.farm.records import Records
from swarm.store.database import Store, sqlite_url
from tests.contracts import test_farm as contract
from tests.contracts.test_farm import CANARY, SECRETS, Ground, site_in
from tests.farm import machines
from tests.image.far import IMAGE, Far, far_server
from tests.image.instances import UID, Instances
from tests.servers.server_over_ssh.sshd import sshd
from tools.docker.engine import PROGRAMS, ROOT, Engine

pytestmark = pytest.mark.timeout(900)
PORT = 8080
PRICED = {"price_month": "40"}

# The same tests as the fake's, over this file's `ground`.
globals().update({n: f for n, f in vars(contract).items() if n.startswith("test_an_")})
globals().update(
    {
        name: vars(contract)[name]
        for name in (
            "test_creating_twice_makes_one_and_changes_nothing",
            "test_everything_made_is_on_the_books_before_and_labelled",
            "test_a_name_belongs_to_its_owner",
            "test_stopping_and_starting_may_be_repeated_and_keep_the_data",
            "test_a_verb_on_nothing_says_so_except_for_destroying_it",
            "test_what_is_destroyed_is_gone_with_its_data_and_its_name_is_free",
            "test_several_instances_do_not_touch_each_other",
            "test_ending_a_generation_leaves_another_as_it_is",
            "test_a_size_that_no_place_has_is_refused_and_nothing_is_made",
            "test_a_secret_is_nowhere_but_in_the_instance",
            "test_only_the_last_lines_asked_for_are_shown",
        )
    }
)


@pytest.fixture(scope="module")
def client(instances: Instances) -> dict[str, Any]:
    """The settings that reach the engine of the tests."""
    return {
        "program": shutil.which("docker", path=PROGRAMS),
        "host": f"unix://{instances.engine.socket}",
    }


@pytest.fixture(scope="module")
def images(instances: Instances) -> SimpleNamespace:
    """More images: one that never gets well, and one that does, both made from the real one."""
    engine = instances.engine
    engine.docker("create", "--name", "mould", instances.tag)
    for tag, change in (("swarm:bad", 'CMD ["--version"]'), ("swarm:next", "LABEL next=yes")):
        engine.docker("commit", "--change", change, "mould", tag)
    engine.docker("rm", "--volumes", "mould")
    return SimpleNamespace(now=instances.tag, bad="swarm:bad", next="swarm:next")


@pytest.fixture
async def ground(
    client: dict[str, Any], instances: Instances, tmp_path: Path
) -> AsyncIterator[Ground]:
    site = site_in(tmp_path)
    driver = DockerDriver(site, DockerConfig(**client, publish=PORT, price_month=40))
    largest = int(json.loads(instances.engine.docker("info", "--format", "{{json .}}"))["MemTotal"])
    yield Ground(driver, site, instances.tag, largest // 1024**2)
    for name in await names_of(driver):
        await driver.destroy(name)
    left = instances.engine.docker("ps", "--all", "--quiet", "--filter", "label=farm=ftest")
    assert left == ""


async def names_of(driver: DockerDriver) -> set[str]:
    return {r.instance for r in (await driver.list()).resources}


def inspected(engine: Engine, *words: str) -> Any:
    return json.loads(engine.docker(*words))[0]


async def test_an_instance_may_do_little_and_shows_no_secret(
    ground: Ground, instances: Instances
) -> None:
    made = await ground.driver.create(ground.spec(), SECRETS)
    seat = next(r.name for r in made.resources if r.kind == "container")
    found = inspected(instances.engine, "inspect", seat)
    host = found["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"]
    assert not host["Privileged"]
    assert host["Memory"] == host["MemorySwap"] == 512 * 1024**2
    assert (host["NanoCpus"], host["PidsLimit"]) == (10**9, 256)
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert host["NetworkMode"] == "swarm-ftest-ada"
    assert host["Binds"] is None
    assert {m["Type"] for m in found["Mounts"]} == {"volume"}
    assert "docker.sock" not in json.dumps(found)
    bound = host["PortBindings"][f"{PORT}/tcp"]
    assert [b["HostIp"] for b in bound] == ["127.0.0.1"]
    assert made.address == f"127.0.0.1:{bound[0]['HostPort']}"
    files = instances.engine.docker("exec", seat, "ls", "-ln", "/run/secrets")
    assert f"-rw------- 1 {UID} {UID}" in files
    inside = "cat /run/secrets/*; touch /run/secrets/x /x; id -u"
    read = instances.engine.docker("exec", seat, "sh", "-c", inside, check=False)
    assert CANARY in read
    assert read.count("Read-only file system") == 2
    assert UID in read
    told = instances.engine.docker("inspect", seat) + instances.engine.docker("logs", seat)
    told += instances.engine.docker("volume", "inspect", "swarm-ftest-ada-secrets")
    told += instances.engine.docker("history", "--no-trunc", ground.image)
    assert CANARY not in told
    assert "ANTHROPIC_API_KEY_FILE=/run/secrets/ANTHROPIC_API_KEY" in told


async def test_an_instance_that_gets_not_well_leaves_nothing(
    ground: Ground, images: SimpleNamespace
) -> None:
    secret = {"ANTHROPIC_API_KEY": SecretStr("0.1.0")}
    with pytest.raises(NotHealthy, match="ended by itself again and again") as caught:
        await ground.driver.create(ground.spec(image=images.bad), secret)
    assert "[ANTHROPIC_API_KEY]" in caught.value.lines
    assert await ground.there() == await ground.alive() == set()
    assert not await ground.site.journal.entries(only_open=True)


async def test_an_image_that_is_nowhere_or_runs_as_root_is_refused(
    ground: Ground, instances: Instances
) -> None:
    instances.engine.docker("create", "--name", "mould", ground.image)
    instances.engine.docker("commit", "--change", "USER root", "mould", "swarm:root")
    instances.engine.docker("rm", "--volumes", "mould")
    with pytest.raises(InvalidInput, match="runs as 'root'"):
        await ground.driver.create(ground.spec(image="swarm:root"), SECRETS)
    with pytest.raises(NotFound, match="make image"):
        await ground.driver.create(ground.spec(image="nobody.invalid/none:1"), SECRETS)
    assert await ground.there() == set()


async def test_an_upgrade_keeps_the_home_and_goes_back_where_it_must(
    ground: Ground, images: SimpleNamespace
) -> None:
    driver = ground.driver
    assert isinstance(driver, DockerDriver)
    await driver.create(ground.spec(), SECRETS)
    await driver.run("ada", ["sh", "-c", "echo kept > /data/note"])
    with pytest.raises(NotHealthy, match="The old image runs again"):
        await driver.upgrade("ada", images.bad, generation="g2", within_s=60)
    (old,) = (await driver.list()).instances
    assert (old.image, old.generation, old.state) == (images.now, "g1", InstanceState.RUNNING)
    made = await driver.upgrade("ada", images.next, generation="g3", within_s=60)
    assert (made.image, made.generation, made.has_drifted) == (images.next, "g3", False)
    assert (await driver.run("ada", ["cat", "/data/note"])).stdout == "kept\n"
    assert (await driver.run("ada", ["sh", "-c", "ls -A /data"])).stdout.count(".farm") == 0
    assert await ground.alive() == await ground.there()
    prices = [e.intent.price for e in await ground.site.journal.entries() if e.intent.price]
    assert len({p.monthly for p in prices}) == 1


async def test_drift_is_shown_once_the_image_s_name_means_another(
    ground: Ground, instances: Instances, images: SimpleNamespace
) -> None:
    instances.engine.docker("tag", images.now, "swarm:drift")
    made = await ground.driver.create(ground.spec(image="swarm:drift"), SECRETS)
    assert not made.has_drifted
    instances.engine.docker("tag", images.next, "swarm:drift")
    (found,) = (await ground.driver.list()).instances
    assert found.has_drifted


async def test_a_backup_of_a_running_instance_comes_back_whole(
    ground: Ground, tmp_path: Path
) -> None:
    store = Store(sqlite_url(tmp_path / "farm.db"))
    farm = Farm(
        site=ground.site, records=Records(store, SystemClock(), RandomIds()),
        drivers=lambda _: ground.driver,
    )  # fmt: skip
    await farm.up(ground.spec(), SECRETS, driver="docker")
    driver = ground.driver
    assert isinstance(driver, DockerDriver)
    ordered = await driver.run("ada", ["swarm", "order", "Write a line.", "--json"])
    assert ordered.stdout, ordered.stderr
    await driver.run("ada", ["sh", "-c", "echo one > /data/note"])
    held = await farm.backup("ada")
    assert held.orders == 1
    await driver.run("ada", ["sh", "-c", "echo two > /data/note"])
    done = await farm.restore("ada", held.path, identity=None)
    assert done.is_audit_whole, done.audit
    assert done.backup.tables == held.tables
    assert done.instance.state is InstanceState.RUNNING
    assert (await driver.run("ada", ["cat", "/data/note"])).stdout == "one\n"
    assert done.safety is not None
    kept = await farm.remove("ada")
    assert kept is not None
    assert kept.exists()
    assert await ground.there() == set()
    store.close()


async def test_a_daemon_that_goes_away_in_the_middle_is_said_and_gone_on_with(
    ground: Ground, client: dict[str, Any], tmp_path: Path
) -> None:
    count = tmp_path / "count"
    flaky = tmp_path / "docker"
    flaky.write_text(
        "#!/bin/sh\n"
        f"n=$(cat {count} 2>/dev/null || echo 0); echo $((n + 1)) > {count}\n"
        'if [ "$n" -ge "$(cat ' + str(tmp_path / "until") + ')" ]; then\n'
        '  echo "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?" >&2\n'
        "  exit 1\nfi\n"
        f'exec {client["program"]} "$@"\n'
    )
    flaky.chmod(0o755)
    driver = DockerDriver(ground.site, DockerConfig(program=str(flaky), host=client["host"]))
    for until in (5, 12, 16, 21):
        (tmp_path / "until").write_text(str(until))
        count.unlink(missing_ok=True)
        with pytest.raises(NoPlace, match="run the command again"):
            await driver.create(ground.spec(), SECRETS)
    made = await ground.driver.create(ground.spec(), SECRETS)
    assert made.state is InstanceState.RUNNING
    assert await ground.alive() == await ground.there()
    assert sorted(r.kind for r in made.resources) == ["container", "network", "secret", "volume"]


@pytest.fixture
def far(instances: Instances, client: dict[str, Any], tmp_path: Path) -> Iterator[Far]:
    if sshd() is None:
        pytest.skip("no sshd here: apt-get install openssh-server")
    with far_server(instances.engine, client["program"], tmp_path) as server:
        yield server


async def test_a_real_engine_behind_ssh_serves_keeps_upgrades_and_gives_all_back(
    far: Far, images: SimpleNamespace, figures: list[str]
) -> None:
    first = far.means(images.now)
    began = time.monotonic()
    made = await far.farm.up(far.spec, machines.SECRETS, driver="hetzner")
    took = time.monotonic() - began
    figures.append(f"an instance behind SSH ready after {took:.1f} s, its image sent on the way")
    assert (made.instance.state, made.instance.image_id) == (InstanceState.RUNNING, first)
    assert far.inside("id", "-u") == UID
    assert far.inside("sh", "-c", "cat /run/secrets/ANTHROPIC_API_KEY") == CANARY_FAR
    told = far.engine.docker("inspect", f"swarm-{machines.FARM}-ada")
    assert "canary" not in told + await far.farm.logs("ada", lines=100)
    before = far.there()
    assert (await far.farm.up(far.spec, machines.SECRETS, driver="hetzner")).is_new is False
    assert far.there() == before

    assert (await far.farm.stop("ada")).state is InstanceState.STOPPED
    assert (await far.farm.start("ada")).state is not InstanceState.STOPPED
    await carried(far)
    await upgraded(far, images)
    kept = await far.farm.remove("ada")
    assert kept is not None
    assert kept.exists()
    assert far.there() == []
    assert far.at.leftovers() == []
    assert far.at.journal.open == []


CANARY_FAR = machines.SECRETS["ANTHROPIC_API_KEY"].get_secret_value()


async def carried(far: Far) -> None:
    """Take a backup over the line, change what is there, and put it back."""
    ordered = far.inside("swarm", "order", "Write a line.", "--json")
    assert json.loads(ordered)["id"]
    far.inside("sh", "-c", "echo one > /data/note")
    held = await far.farm.backup("ada")
    assert held.orders == 1
    far.inside("sh", "-c", "echo two > /data/note")
    done = await far.farm.restore("ada", held.path, identity=None)
    assert done.is_audit_whole, done.audit
    assert far.inside("cat", "/data/note") == "one"
    assert done.backup.tables == held.tables
    await far.farm.stop("ada")
    assert (await far.farm.backup("ada")).orders == 1
    await far.farm.start("ada")


async def upgraded(far: Far, images: SimpleNamespace) -> None:
    """Go to an image that never gets well and back, then to one that does, under the same name."""
    with pytest.raises(NotHealthy, match=r"ended by itself again and again.*old image runs again"):
        await far.farm.upgrade("ada", images.bad, within_s=60)
    assert far.inside("cat", "/data/note") == "one"
    newest = far.means(images.next)
    made = await far.farm.upgrade("ada", IMAGE, within_s=60)
    assert (made.image, made.image_id) == (IMAGE, newest)
    assert far.inside("cat", "/data/note") == "one"
    assert far.inside("sh", "-c", "ls -A /data").count(".farm") == 0
    (found,) = (await far.at.driver().list()).instances
    assert found.generation == made.generation
    # Its engine looks at it twice a minute, and says so until then.
    assert found.state in (InstanceState.RUNNING, InstanceState.STARTING)


def campaign(folder: Path, **plan: Any) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.farm.dying", str(folder), json.dumps(plan)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line["again"] == 0 for line in found), done.stderr
    return found


def told(figures: list[str], command: str, found: list[dict[str, Any]]) -> None:
    """Say how often it was killed, and what was left over in the end."""
    killed = sum(line["signal"] == signal.SIGKILL for line in found)
    left = sum(len(set(line["there"]) - set(line["alive"])) for line in found)
    figures.append(f"`farm {command}` killed {killed} times and said again: {left} orphans")


def held_to_one(found: list[dict[str, Any]], image: Callable[[str], bool]) -> None:
    for line in found:
        ((name, state, runs),) = line["instances"]
        assert (name, state) == ("ada", "running"), line
        assert image(runs), line
        assert line["kinds"] == ["container", "network", "secret", "volume"], line
        assert line["there"] == line["alive"], line
        assert line["open"] == line["findings"] == [], line
        # What is adopted was made before it was on the books.
        assert "adopt" not in line["actions"], line


def test_a_start_that_is_killed_and_said_again_makes_one(
    client: dict[str, Any], images: SimpleNamespace, tmp_path: Path
) -> None:
    """Every sixth moment; all of them: `make chaos`."""
    found = campaign(tmp_path, driver="docker", image=images.now, config=client, every=6)
    held_to_one(found, lambda image: image == images.now)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", ["up", "upgrade", "restore"])
def test_no_death_at_any_moment_leaves_two_or_half_of_one(
    client: dict[str, Any],
    images: SimpleNamespace,
    tmp_path: Path,
    command: str,
    figures: list[str],
) -> None:
    found = campaign(
        tmp_path, driver="docker", command=command, then=command, image=images.now,
        next_image=images.next, config=client | PRICED,
    )  # fmt: skip
    told(figures, command, found)
    held_to_one(found, lambda image: image == (images.next if command == "upgrade" else images.now))
    for line in found:
        begun, ended = (
            sum(f"{verb} server" == e for e in line["billed"]) for verb in ("created", "deleted")
        )
        assert begun - ended == 1, line
    if command == "up":
        assert {tuple(line["billed"]) for line in found} == {("created server",)}


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_a_removal_that_is_killed_and_said_again_leaves_nothing(
    client: dict[str, Any],
    images: SimpleNamespace,
    tmp_path: Path,
    instances: Instances,
    figures: list[str],
) -> None:
    found = campaign(
        tmp_path, driver="docker", command="rm", then="rm", image=images.now,
        config=client | PRICED,
    )  # fmt: skip
    told(figures, "rm", found)
    for line in found:
        assert line["instances"] == line["there"] == line["alive"] == line["records"] == [], line
        assert line["open"] == line["findings"] == [], line
        assert line["billed"] == ["created server", "deleted server"], line
    for kind in ("network", "volume"):
        left = instances.engine.docker(kind, "ls", "--quiet", "--filter", "label=managed-by=swarm")
        assert left == "", kind
