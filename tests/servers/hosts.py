"""Servers behind SSH: what the farm's commands find there, without SSH and without Docker.

Each server of a fake cloud is a host here, by its address. It takes only who was let in by its user
data, shows the host key that it really has, and remembers its containers.
"""

import hashlib
import io
import json
import shlex
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO

import yaml

from swarm.farm.base import NoPlace, PlaceRefused, Ran
from swarm.farm.cloud.keys import new_pair
from swarm.farm.cloud.ssh import Reach
from tests.servers.cloud import Life


@dataclass(frozen=True, slots=True)
class Booted:
    """A server of a cloud, as its metadata has it."""

    id: str
    user_data: str
    is_running: bool


@dataclass
class Container:
    """A container on a host."""

    words: list[str]
    labels: dict[str, str]
    image: str
    is_running: bool = True
    health: str = "healthy"
    lines: list[str] = field(default_factory=lambda: ["Swarm works in /data"])

    def document(self, name: str) -> dict[str, object]:
        """Return it as `docker inspect` writes it."""
        state: dict[str, object] = {
            "Running": self.is_running, "ExitCode": 0,
            "StartedAt": datetime.now(UTC).isoformat().replace("+00:00", "000Z"),
            "Health": {"Status": self.health},
        }  # fmt: skip
        return {
            "Id": hashlib.sha256(name.encode()).hexdigest(), "Name": f"/{name}", "State": state,
            "Image": "sha256:0f1e", "Config": {"Image": self.image, "Labels": self.labels},
        }  # fmt: skip


class Host:
    """One server after its first start."""

    def __init__(self, user_data: str) -> None:
        told = yaml.safe_load(user_data)
        self.key = told["ssh_keys"]["ed25519_public"]
        self.authorized = told["ssh_authorized_keys"]
        files = {each["path"]: each["content"] for each in told["write_files"]}
        self.digest: str | None = files["/etc/swarm/enrolment.sha256"].strip()
        self.next_key: str | None = None
        self.containers: dict[str, Container] = {}
        self.volumes: set[str] = set()
        self.networks: set[str] = set()
        self.images: set[str] = set()
        self.files: dict[str, tuple[int, int, bytes]] = {}
        """Owner, mode and content by path."""
        self.commands: list[list[str]] = []
        self.health = "healthy"
        """What the health check of new containers comes to."""


class HostsShell:
    """A `Shell` whose servers are those of a fake cloud."""

    def __init__(self, booted: Callable[[str], Booted | None], *, life: Life | None = None) -> None:
        """`booted` returns the server at an address."""
        self._booted = booted
        self._life = life or Life()
        self.hosts: dict[str, Host] = {}
        """By the server's id."""
        self.is_ill = False
        """Whether containers that start from now on never get well."""
        self.unreachable: set[str] = set()
        """Names of servers that do not answer."""
        self.boots_badly = False
        self.expired: set[str] = set()
        """Ids of servers whose one-time token is too old."""

    async def run(
        self, reach: Reach, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 60.0,
        stdout: IO[bytes] | None = None, source: IO[bytes] | None = None,
    ) -> Ran:  # fmt: skip
        """Run a command as the server would."""
        step = self._life.enter()
        ran = self._run(reach, list(words), stdin)
        self._life.leave(step)
        return ran

    async def send_image(self, reach: Reach, image: str, *, timeout_s: float) -> Ran:
        """Take an image."""
        step = self._life.enter()
        self._host(reach).images.add(image)
        self._life.leave(step)
        return Ran(0, "", "")

    async def image_here(self, image: str) -> str | None:
        """Return an id by the name alone."""
        return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"

    def _host(self, reach: Reach) -> Host:
        booted = self._booted(reach.address)
        if booted is None or not booted.is_running or reach.name in self.unreachable:
            raise NoPlace(f"{reach.name} ({reach.address}) cannot be reached by SSH: no answer")
        host = self.hosts.get(booted.id)
        if host is None:
            host = self.hosts[booted.id] = Host(booted.user_data)
        lines = reach.known_hosts.read_text().splitlines() if reach.known_hosts.exists() else []
        if f"{reach.name} {host.key}" not in lines:
            raise PlaceRefused(f"{reach.name} shows a host key that is not its own")
        return host

    def _run(self, reach: Reach, words: list[str], stdin: bytes) -> Ran:
        host = self._host(reach)
        host.commands.append(words)
        verb = words[0].rpartition("/")[2]
        if verb == "true":
            return _ok()
        if verb == "cloud-init":
            return Ran(1, "status: error", "") if self.boots_badly else _ok("status: done")
        if verb == "swarm-enrol":
            booted = self._booted(reach.address)
            if host.digest is not None and booted is not None and booted.id in self.expired:
                return Ran(5, "", "the token is too old: the server is to be made anew")
            return self._enrol(host, words[1], stdin)
        if verb == "sh":
            return self._script(host, words[2], words[4:], stdin)
        if verb == "docker":
            return self._docker(host, words[1:])
        raise AssertionError(f"no such command here: {shlex.join(words)}")

    @staticmethod
    def _enrol(host: Host, half: str, stdin: bytes) -> Ran:
        if host.digest is None:
            return _ok(host.key)
        if hashlib.sha256(stdin.strip()).hexdigest() != host.digest:
            return Ran(4, "", "that is not the token of this server")
        if half == "begin":
            host.next_key = host.next_key or new_pair().public
            return _ok(host.next_key)
        assert half == "commit"
        assert host.next_key is not None
        host.key, host.digest = host.next_key, None
        return _ok(host.key)

    @staticmethod
    def _script(host: Host, script: str, words: list[str], stdin: bytes) -> Ran:
        if "tar -x" in script:
            with tarfile.open(fileobj=io.BytesIO(stdin)) as archive:
                for entry in archive.getmembers():
                    file = archive.extractfile(entry)
                    assert file is not None
                    path = f"{words[0]}/{entry.name}"
                    host.files[path] = (entry.uid, entry.mode, file.read())
            return _ok()
        if "docker inspect $ids" in script:
            found = [
                each.document(name)
                for name, each in host.containers.items() if each.labels.get("farm") == words[0]
            ]  # fmt: skip
            return _ok(json.dumps(found) if found else "")
        assert "docker rm" in script
        name, folder = words
        host.containers.pop(name, None)
        host.volumes.discard(name)
        host.networks.discard(name)
        host.files = {k: v for k, v in host.files.items() if not k.startswith(f"{folder}/")}
        return _ok()

    def _docker(self, host: Host, words: list[str]) -> Ran:
        name = words[-1]
        match words[:2]:
            case ["image", "inspect"]:
                return _ok() if name in host.images else Ran(1, "", "No such image")
            case ["pull", _]:
                host.images.add(name)
                return _ok()
            case ["network", "create"]:
                if name in host.networks:
                    return Ran(1, "", f"network with name {name} already exists")
                host.networks.add(name)
                return _ok()
            case ["volume", "create"]:
                host.volumes.add(name)
                return _ok()
            case _:
                pass
        return self._container(host, words)

    def _container(self, host: Host, words: list[str]) -> Ran:
        name = words[-1]
        if words[0] == "exec":
            return Ran(0 if host.containers[words[1]].health == "healthy" else 1, "", "")
        if words[0] == "run":
            name = words[words.index("--name") + 1]
            if name in host.containers:
                return Ran(125, "", f"the container name {name} is already in use")
            assert words[-1] in host.images, "the image was not brought before"
            labels = dict(
                words[n + 1].split("=", 1) for n, word in enumerate(words) if word == "--label"
            )
            health = "starting" if self.is_ill else host.health
            host.containers[name] = Container(words, labels, words[-1], health=health)
            return _ok("0f1e2d")
        if name not in host.containers:
            return Ran(1, "", f"No such container: {name}")
        if words[0] in ("start", "stop"):
            host.containers[name].is_running = words[0] == "start"
            return _ok(name)
        assert words[0] == "logs"
        count = int(words[words.index("--tail") + 1])
        return _ok("\n".join(host.containers[name].lines[-count:]))


def _ok(text: str = "") -> Ran:
    return Ran(0, text, "")
