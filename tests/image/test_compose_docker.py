"""The compose files as an operator starts them, on a real engine: one, a dozen, and a cluster."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.image.instances import UID, Container, Instances
from tools.docker.engine import PROGRAMS, ROOT, Engine

pytestmark = pytest.mark.timeout(900)
FOLDER = ROOT / "deployments" / "compose"
POSTGRES = "postgres:ci"
PASSWORD = "canary-of-the-database"  # of a database of this test's
MEMBERS = 12
PROVIDER = "http://provider:8000/v1"
ENTRY = r"""#!/bin/sh
# What the compose file asks of a Postgres image, in little: a folder made once, then the server.
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
mkdir -p "$data" /run/postgresql
chown -R postgres "$data" /run/postgresql
chmod 700 "$data"
if [ ! -s "$data/PG_VERSION" ]; then
    # Only this process's user may open its own input again under a name.
    cat "$POSTGRES_PASSWORD_FILE" >/dev/shm/password
    chown postgres /dev/shm/password
    as "$bin/initdb" -D "$data" -U "$POSTGRES_USER" --pwfile /dev/shm/password -A scram-sha-256 -E UTF8
    rm /dev/shm/password
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | as "$bin/postgres" --single -D "$data" template1
fi
exec setpriv --reuid postgres --regid postgres --clear-groups "$bin/postgres" -D "$data" -c "listen_addresses=*"
"""


@dataclass(frozen=True)
class Project:
    """One compose file, started under a name of its own."""

    engine: Engine
    name: str
    files: tuple[Path, ...]
    folder: Path

    def compose(self, *words: str) -> str:
        """Run the program; return what it printed."""
        program = shutil.which("docker-compose")
        assert program is not None
        given = [word for path in self.files for word in ("--file", str(path))]
        done = subprocess.run(
            [program, "--project-name", self.name, *given, *words],
            env={
                "PATH": PROGRAMS,
                "HOME": str(self.folder),
                "DOCKER_HOST": f"unix://{self.engine.socket}",
                "SWARM_IMAGE": "swarm:ci",
                "POSTGRES_IMAGE": POSTGRES,
                "SECRETS": str(self.folder / "secrets"),
                # No network leads to Telegram here.
                "TOKEN_FILE": "",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def containers(self, service: str) -> list[Container]:
        """Return the containers of a service."""
        return [Container(self.engine, id_) for id_ in self.compose("ps", "-q", service).split()]


@contextmanager
def started(instances: Instances, folder: Path, *files: Path) -> Iterator[Project]:
    """Give a project with its secrets, and take all of it away at the end."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed: apt-get install docker-compose")
    project = Project(instances.engine, f"c{folder.name[:8].lower()}", files, folder)
    for place in ("", *(f"{number:02}" for number in range(1, MEMBERS + 1))):
        secrets = folder.joinpath("secrets", place)
        secrets.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("anthropic-key", "sk-canary-compose"),
            ("telegram-token", ""),
            ("database-password", PASSWORD),
            ("database-url", f"postgresql+psycopg://swarm:{PASSWORD}@database/swarm"),
        ):
            (secrets / name).write_text(f"{text}\n")
            shutil.chown(secrets / name, int(UID))
            (secrets / name).chmod(0o400)
    for above in (folder, *list(folder.parents)[:3]):
        above.chmod(0o755)
    try:
        yield project
    finally:
        project.compose("down", "--volumes", "--timeout", "20")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_one_starts_hardened_and_ends_by_itself(
    instances: Instances, folder: Path, figures: list[str]
) -> None:
    with started(instances, folder, FOLDER / "one.yaml") as project:
        began = time.monotonic()
        project.compose("up", "-d")
        (found,) = project.containers("company")
        found.until_ready()
        figures.append(f"compose, one: ready {time.monotonic() - began:.1f} s after `up -d`")
        told = found.inspect()
        assert told["HostConfig"]["ReadonlyRootfs"]
        assert told["HostConfig"]["CapDrop"] == ["ALL"]
        assert "sk-canary-compose" not in json.dumps(told) + found.logs
        assert found.swarm("doctor")["findings"]
        project.compose("stop", "--timeout", "20")
        assert found.exit_code == 0, found.logs


def test_a_dozen_are_all_well_and_none_reaches_another(
    instances: Instances, folder: Path, figures: list[str]
) -> None:
    with started(instances, folder, FOLDER / "dozen.yaml") as project:
        began = time.monotonic()
        project.compose("up", "-d")
        names = [f"member{number:02}" for number in range(1, MEMBERS + 1)]
        seats = {name: project.containers(name)[0] for name in names}
        for seat in seats.values():
            seat.until(lambda seat=seat: "Swarm works in" in seat.logs, within_s=180)  # type: ignore[misc]
        figures.append(
            f"compose, a dozen: all ready {time.monotonic() - began:.1f} s after `up -d`"
        )
        networks = [tuple(s.inspect()["NetworkSettings"]["Networks"]) for s in seats.values()]
        assert len(set(networks)) == MEMBERS
        homes = [
            mount["Name"]
            for seat in seats.values()
            for mount in seat.inspect()["Mounts"]
            if mount["Destination"] == "/data"
        ]
        assert len(set(homes)) == MEMBERS
        by_name = seats["member01"].sh("getent hosts member02 || echo nobody")
        assert by_name == "nobody"


def test_a_cluster_works_an_order_on_though_one_of_its_workers_is_killed(
    instances: Instances, folder: Path, figures: list[str]
) -> None:
    _build_postgres(instances, folder / "postgres")
    more = folder / "more.yaml"
    more.write_text(yaml.safe_dump(_with_provider()))
    with started(instances, folder, FOLDER / "cluster.yaml", more) as project:
        began = time.monotonic()
        project.compose("up", "-d", "--scale", "worker=2")
        (channels,) = project.containers("channels")
        workers = project.containers("worker")
        for worker in workers:
            worker.until(lambda worker=worker: "Swarm works in" in worker.logs, within_s=120)  # type: ignore[misc]
        channels.until(lambda: "takes no orders itself" in channels.logs, within_s=120)
        figures.append(f"compose, a cluster of two: ready {time.monotonic() - began:.1f} s")
        order = channels.swarm("order", "Look around, then write a post.", "--yes")["id"]
        (provider,) = project.containers("provider")
        provider.until(lambda: '"seen"' in provider.logs, within_s=120)
        (killed,) = [worker for worker in workers if worker.name[:12] == _at_work(channels)]
        project.engine.docker("kill", "--signal", "KILL", killed.name)
        struck = time.monotonic()
        channels.until(lambda: channels.swarm("show", order)["status"] == "delivered", within_s=180)
        took = time.monotonic() - struck
        figures.append(f"compose, a cluster: delivered {took:.1f} s after a worker was killed")
        assert len(channels.swarm("show", order)["artifacts"]) == 2
        said = channels.logs + "".join(worker.logs for worker in workers)
        assert PASSWORD not in said
        (database,) = project.containers("database")
        assert list(database.inspect()["NetworkSettings"]["Networks"]) == [f"{project.name}_inside"]


AT_WORK = """
import pathlib, sqlalchemy as sa
url = pathlib.Path("/run/secrets/database-url").read_text().strip()
with sa.create_engine(url).connect() as c:
    place = c.exec_driver_sql(
        "SELECT table_schema FROM information_schema.tables WHERE table_name = 'workflow_status'"
    ).scalar_one()
    print(c.exec_driver_sql(
        f"SELECT w.host FROM {place}.workflow_status s JOIN workers w ON w.name = s.executor_id "
        "WHERE s.status = 'PENDING' LIMIT 1"
    ).scalar_one())
"""


def _at_work(inside: Container) -> str:
    """Return on which host the order is worked, as the books say: a container's own short name."""
    done = inside.exec("python", "-c", AT_WORK)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _with_provider() -> dict[str, object]:
    """Return what is laid over the cluster: a model that every service reaches, without a key."""
    model = {
        "SWARM_LLM__API_BASE": PROVIDER,
        "SWARM_LLM__MODEL": "openai/scripted",
        "SWARM_LLM__API_KEY": "none",
        "SWARM_PRICES": json.dumps(
            {"openai/scripted": {"input_per_million": "3", "output_per_million": "15"}}
        ),
    }
    script = {
        "image": "swarm:ci",
        "networks": ["inside"],
        "volumes": [f"{ROOT / 'tests'}:/app/tests:ro"],
        "working_dir": "/app",
        "entrypoint": ["/usr/bin/tini", "-s", "--", "python", "-m", "tests.image.provider"],
        "command": ["--delay", "0.4", "--host", "0.0.0.0"],  # of a network of its own
    }
    return {
        "version": "3.8",
        "services": {
            "channels": {"environment": model},
            "worker": {"environment": model},
            "provider": script,
        },
    }


def _build_postgres(instances: Instances, folder: Path) -> None:
    """Make an image of Debian's Postgres that starts as the file expects of the official one."""
    folder.mkdir()
    (folder / "entry").write_text(ENTRY)
    (folder / "entry").chmod(0o755)
    (folder / "Dockerfile").write_text(
        f"FROM {instances.base}\n"
        "RUN apt-get update -q && apt-get install -y -q --no-install-recommends postgresql\n"
        "COPY entry /entry\n"
        'ENTRYPOINT ["/entry"]\n'
    )
    words = ["build", "--network=host", "--tag", POSTGRES, str(folder)]
    instances.engine.docker(*words, timeout_s=600)
