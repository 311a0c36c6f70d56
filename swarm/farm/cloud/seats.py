"""Instances on a server: containers that are made and looked at over SSH.

The image comes from the operator's machine, unless its name has a registry's host in it: then the
server pulls it. Sent, it needs no registry, no account there, and is what was tried before.
"""

import asyncio
import io
import json
import re
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from swarm.core.text import shorten
from swarm.farm.base import (
    INSTANCE,
    OWNER,
    InstanceSpec,
    InstanceState,
    NoPlace,
    NotHealthy,
    PlaceError,
    Ran,
    Secrets,
    Site,
    labels_of,
)
from swarm.farm.cloud.keys import Papers
from swarm.farm.cloud.machines import Machine
from swarm.farm.cloud.pacing import moment
from swarm.farm.cloud.ssh import Reach, Shell

UID = 10001
"""The image's user; Dockerfile."""
ENROL = "/usr/local/sbin/swarm-enrol"
"""Put there by the templates in `deployments/`."""
FOLDER = "/var/lib/swarm"
OWNER_NAME = "owner-name"
SCRATCH = "/tmp:size=256m"  # noqa: S108  # inside a container, whose root cannot be written
IMAGE_TO_ARRIVE_S = 1800.0
_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{60,80}")
_UNPACK = (
    'umask 077; mkdir -p "$1" && cd "$1" && find . -type f -delete && tar -xpf - && '
    'chown -R "$2:$2" . && chmod 0500 .'
)
_INSPECT = 'ids=$(docker ps -aq --filter "label=farm=$1"); [ -z "$ids" ] || docker inspect $ids'
_REMOVE = (
    'docker rm -f -v "$1" 2>/dev/null; docker volume rm "$1" 2>/dev/null; '
    'docker network rm "$1" 2>/dev/null; rm -rf "$2"; '
    '! docker inspect "$1" >/dev/null 2>&1 && ! docker volume inspect "$1" >/dev/null 2>&1'
)

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Sitting:
    """A container as its server reports it."""

    instance: str
    owner: str
    generation: str
    image: str
    image_id: str
    id: str
    state: InstanceState
    since: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class Seats:
    """The containers of one farm on its servers."""

    site: Site
    shell: Shell
    sleep: Sleep = asyncio.sleep
    poll_s: float = 2.0

    # -- the server

    async def enrol(
        self, machine: Machine, papers: Papers, reach: Reach, *, within_s: float
    ) -> None:
        """Wait for a new server, and let it and the operator come to know each other. See `cloud`.

        Raises:
            NotHealthy: It does not answer in time, or did not get ready.
            PlaceRefused: What answers is not the server that was made.
        """
        if papers.is_enrolled:
            return
        until = self.site.clock.monotonic() + within_s
        await self._answering(reach, until)
        left_s = max(until - self.site.clock.monotonic(), 1.0)
        ran = await self.shell.run(reach, ["cloud-init", "status", "--wait"], timeout_s=left_s)
        if ran.code == 1:
            raise NotHealthy(
                f"{machine.name} did not get ready: {shorten(ran.stdout.strip(), 200)}; "
                "/var/log/cloud-init-output.log there says why", lines=ran.stdout,
            )  # fmt: skip
        self.site.say(f"{machine.name} is up; it is enrolled now")
        token = papers.token.encode() + b"\n"
        ran = await self._must(reach, [ENROL, "begin"], stdin=token)
        public = ran.stdout.strip()
        if _KEY.fullmatch(public) is None:
            raise NotHealthy(f"{machine.name} answers its enrolment with something that is no key")
        papers.learn(machine.name, public)
        await self._must(reach, [ENROL, "commit"], stdin=token)
        papers.enrolled(machine.name, public)

    async def _answering(self, reach: Reach, until: float) -> None:
        while True:
            try:
                await self.shell.run(reach, ["true"])
            except NoPlace as error:
                if self.site.clock.monotonic() >= until:
                    raise NotHealthy(f"{error}; it was waited for long enough") from error
                await self.sleep(self.poll_s)
            else:
                return

    # -- one seat

    async def put(self, reach: Reach, spec: InstanceSpec, secrets: Secrets) -> None:
        """Start an instance; one that is there already is left, and started where it stands still."""
        there = {each.instance: each for each in await self.look(reach)}
        if (found := there.get(spec.name)) is not None:
            if found.state is InstanceState.STOPPED:
                await self._must(reach, ["docker", "start", self.container(spec.name)])
            return
        await self._image(reach, spec.image)
        self.site.say(f"{spec.name} starts on {reach.name}")
        await self._secrets(reach, spec.name, secrets)
        name, labels = self.container(spec.name), self._labels(spec)
        ran = await self.shell.run(reach, ["docker", "network", "create", *labels, name])
        if ran.code != 0 and "already exists" not in ran.stderr:
            raise _failed(reach, "docker network create", ran)
        await self._must(reach, ["docker", "volume", "create", *labels, name])
        ran = await self.shell.run(reach, self.run_words(spec, secrets), timeout_s=120)
        # Somebody who runs the same at the same time was first.
        if ran.code != 0 and "already in use" not in ran.stderr:
            raise _failed(reach, "docker run", ran)

    def run_words(self, spec: InstanceSpec, secrets: Mapping[str, Any]) -> list[str]:
        """Return the command that starts an instance; it names secrets' files, never a secret."""
        name = self.container(spec.name)
        variables = {
            **spec.environment,
            **{f"{each}_FILE": f"/run/secrets/{each}" for each in secrets},
        }
        return [
            "docker", "run", "--detach", "--name", name, "--hostname", spec.name,
            *self._labels(spec), "--network", name,
            "--volume", f"{name}:/data", "--volume", f"{self._folder(spec.name)}:/run/secrets:ro",
            "--read-only", "--tmpfs", SCRATCH, "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--user", f"{UID}:{UID}",
            "--memory", f"{spec.memory_mib}m", "--memory-swap", f"{spec.memory_mib}m",
            "--cpus", str(spec.cpus), "--pids-limit", str(spec.pids),
            "--restart", "unless-stopped", "--stop-timeout", "20",
            "--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=3",
            *(word for key, value in sorted(variables.items()) for word in ("--env", f"{key}={value}")),
            spec.image,
        ]  # fmt: skip

    async def healthy(self, reach: Reach, name: str, *, within_s: float) -> Sitting:
        """Wait until an instance is healthy. Raises NotHealthy."""
        until = self.site.clock.monotonic() + within_s
        while True:
            found = await self.find(reach, name)
            if found is not None and found.state is InstanceState.RUNNING:
                return found
            if self.site.clock.monotonic() >= until:
                lines = await self.logs(reach, name, lines=50)
                state = found.detail or found.state if found else "gone"
                raise NotHealthy(
                    f"{name} on {reach.name} did not get well within {within_s:.0f} s ({state})",
                    lines=lines,
                )
            await self.sleep(self.poll_s)

    async def look(self, reach: Reach) -> list[Sitting]:
        """Return the instances on a server."""
        ran = await self._must(reach, ["sh", "-c", _INSPECT, "sh", self.site.farm])
        listed = json.loads(ran.stdout) if ran.stdout.strip() else []
        return [_sitting(each) for each in listed]

    async def find(self, reach: Reach, name: str) -> Sitting | None:
        """Return one instance on a server."""
        return next((each for each in await self.look(reach) if each.instance == name), None)

    async def start(self, reach: Reach, name: str) -> None:
        """Start it."""
        await self._must(reach, ["docker", "start", self.container(name)])

    async def stop(self, reach: Reach, name: str) -> None:
        """Stop it; its home stays."""
        await self._must(reach, ["docker", "stop", self.container(name)], timeout_s=90)

    async def logs(self, reach: Reach, name: str, *, lines: int) -> str:
        """Return the last lines it wrote."""
        words = ["docker", "logs", "--tail", str(lines), self.container(name)]
        ran = await self.shell.run(reach, words)
        return (ran.stdout + ran.stderr).strip()

    async def remove(self, reach: Reach, name: str) -> None:
        """Remove it, its home, its network and its secrets; what is gone already is fine."""
        words = ["sh", "-c", _REMOVE, "sh", self.container(name), f"{FOLDER}/{name}"]
        await self._must(reach, words, timeout_s=90)

    def container(self, name: str) -> str:
        """Return the name of its container, network and volume on the server."""
        return f"swarm-{self.site.farm}-{name}"

    # -- its parts

    async def _image(self, reach: Reach, image: str) -> None:
        if (await self.shell.run(reach, ["docker", "image", "inspect", image])).code == 0:
            return
        if is_in_registry(image):
            self.site.say(f"{reach.name} pulls {image}")
            await self._must(
                reach, ["docker", "pull", "--quiet", image], timeout_s=IMAGE_TO_ARRIVE_S
            )
            return
        self.site.say(f"the image {image} is sent to {reach.name}")
        ran = await self.shell.send_image(reach, image, timeout_s=IMAGE_TO_ARRIVE_S)
        if ran.code != 0:
            raise _failed(reach, "docker load", ran)

    async def _secrets(self, reach: Reach, name: str, secrets: Secrets) -> None:
        """Put the secrets into files that only the instance's user may read."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for key, value in secrets.items():
                content = value.get_secret_value().encode()
                entry = tarfile.TarInfo(key)
                entry.size, entry.mode, entry.uid, entry.gid = len(content), 0o400, UID, UID
                archive.addfile(entry, io.BytesIO(content))
        words = ["sh", "-c", _UNPACK, "sh", self._folder(name), str(UID)]
        await self._must(reach, words, stdin=packed.getvalue())

    def _folder(self, name: str) -> str:
        return f"{FOLDER}/{name}/secrets"

    def _labels(self, spec: InstanceSpec) -> list[str]:
        labels = labels_of(
            self.site, instance=spec.name, generation=spec.generation, owner=spec.owner
        )
        labels[OWNER_NAME] = spec.owner
        return [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]

    async def _must(
        self, reach: Reach, words: list[str], *, stdin: bytes = b"", timeout_s: float = 60.0
    ) -> Ran:
        ran = await self.shell.run(reach, words, stdin=stdin, timeout_s=timeout_s)
        if ran.code != 0:
            raise _failed(reach, " ".join(words[:2]), ran)
        return ran


def is_in_registry(image: str) -> bool:
    """Say whether an image's name says which registry it is in: its first part is a host's name."""
    host, slash, _ = image.partition("/")
    return bool(slash) and ("." in host or ":" in host or host == "localhost")


def _failed(reach: Reach, what: str, ran: Ran) -> PlaceError:
    said = (ran.stderr or ran.stdout).strip()
    return PlaceError(f"{what} on {reach.name} failed: {shorten(said, 300) or f'code {ran.code}'}")


def _sitting(found: Any) -> Sitting:
    labels, state = found["Config"].get("Labels") or {}, found["State"]
    health = (state.get("Health") or {}).get("Status")
    if not state["Running"]:
        where = InstanceState.STOPPED
        detail = f"exit code {state.get('ExitCode', '?')}"
    elif health == "unhealthy":
        where, detail = InstanceState.UNHEALTHY, "its health check fails"
    elif health == "starting":
        where, detail = InstanceState.STARTING, ""
    else:
        where, detail = InstanceState.RUNNING, ""
    # Docker's zero time says "never", and its nanoseconds are more than Python reads.
    began = re.sub(r"(\.\d{6})\d+", r"\1", state.get("StartedAt") or "")
    since = None if began.startswith("0001") else moment(began)
    return Sitting(
        labels.get(INSTANCE, ""), labels.get(OWNER_NAME) or labels.get(OWNER, ""),
        labels.get("generation", ""), found["Config"]["Image"], found["Image"], found["Id"], where,
        since, detail,
    )  # fmt: skip
