"""Instances on a server: containers that are made and looked at over SSH.

The image comes from the operator's machine, unless its name has a registry's host in it: then the
server pulls it. Sent, it needs no registry, no account there, and is what was tried before.
"""

import asyncio
import io
import json
import re
import shlex
import tarfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
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
from swarm.farm.docker.health import LINES, last_word, why_not
from swarm.farm.specs import SPEC, read_spec, spec_text
from swarm.farm.watching import WATCH

UID = 10001
"""The image's user; Dockerfile."""
ENROL = "/usr/local/sbin/swarm-enrol"
"""Put there by the templates in `deployments/`."""
EXPIRED = 5
"""The exit code with which it says that its token is too old."""
FOLDER = "/var/lib/swarm"
OWNER_NAME = "owner-name"
SCRATCH = "/tmp:size=256m"  # noqa: S108  # inside a container, whose root cannot be written
IMAGE_TO_ARRIVE_S = 1800.0
TO_START_S = 120.0
"""For one that an early version made, whose own time was not noted."""
STOP_WAIT_S = 90.0
"""An instance is given 20 s to end by itself."""
_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{60,80}")
_UNPACK = (
    'umask 077; mkdir -p "$1" && cd "$1" && find . -type f -delete && tar -xpf - && '
    'chown -R "$2:$2" . && chmod 0500 .'
)
_OFFICE, _NEXT, _HELPER = "", "--next", "--helper"
"""How the container on trial in an upgrade, and the one that carries a home, end. No instance's name
has two dashes in a row."""
# An engine that does not answer must not pass for one that has nothing.
_INSPECT = (
    'ids=$(docker ps -aq --filter "label=farm=$1") || exit; [ -z "$ids" ] || docker inspect $ids'
)
_REMOVE = (
    'docker rm -f -v "$1" "$1--next" "$1--helper" 2>/dev/null; docker volume rm "$1" 2>/dev/null; '
    'docker network rm "$1" 2>/dev/null; '
    'boxes=$(docker ps -aq --filter "name=^$1(--next|--helper)?\\$") && '
    'homes=$(docker volume ls -q --filter "name=^$1\\$") || exit; '
    '[ -z "$boxes$homes" ] || { echo "$1 is still there" >&2; exit 1; }; rm -rf "$2"'
)

Sleep = Callable[[float], Awaitable[None]]


class TokenExpired(NotHealthy):
    """A server was not enrolled in time, and trusts nobody any more."""


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
    container: str = ""
    """Its name there."""
    health: tuple[str, ...] = ()
    """The words of its image's own check."""
    spec: str = ""
    """What it was made from; see `specs`. Empty where an early version made it."""
    is_on_trial: bool = False
    """Whether an upgrade has not let it take office yet."""
    restarts: int = 0
    """How often it ended by itself and was started again."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """Its state in the engine's own words."""


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
        ran = await self.shell.run(reach, [ENROL, "begin"], stdin=token)
        if ran.code == EXPIRED:
            raise TokenExpired(f"{machine.name} takes its one-time token no more")
        if ran.code != 0:
            raise failed(reach, f"{ENROL} begin", ran)
        public = ran.stdout.strip()
        if _KEY.fullmatch(public) is None:
            raise NotHealthy(f"{machine.name} answers its enrolment with something that is no key")
        papers.learn(machine.name, public)
        await self.must(reach, [ENROL, "commit"], stdin=token)
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
                await self.must(reach, ["docker", "start", self.container(spec.name)])
            return
        await self.image(reach, spec.image)
        self.site.say(f"{spec.name} starts on {reach.name}")
        await self._secrets(reach, spec.name, secrets)
        name, labels = self.container(spec.name), self._labels(spec)
        ran = await self.shell.run(reach, ["docker", "network", "create", *labels, name])
        if ran.code != 0 and "already exists" not in ran.stderr:
            raise failed(reach, "docker network create", ran)
        await self.must(reach, ["docker", "volume", "create", *labels, name])
        ran = await self.shell.run(reach, self.run_words(spec, secrets), timeout_s=120)
        # Somebody who runs the same at the same time was first.
        if ran.code != 0 and "already in use" not in ran.stderr:
            raise failed(reach, "docker run", ran)

    def run_words(self, spec: InstanceSpec, secrets: Iterable[str]) -> list[str]:
        """Return the command that starts an instance; it names secrets' files, never a secret."""
        return ["docker", "run", "--detach", *self._seat_words(spec, secrets, _OFFICE)]

    def trial_words(self, spec: InstanceSpec, secrets: Iterable[str]) -> list[str]:
        """Return the command that makes the container of an upgrade, beside the one in office."""
        return ["docker", "create", *self._seat_words(spec, secrets, _NEXT)]

    def _seat_words(self, spec: InstanceSpec, secrets: Iterable[str], ending: str) -> list[str]:
        names = sorted(secrets)
        name = self.container(spec.name)
        variables = {
            **spec.environment,
            **{f"{each}_FILE": f"/run/secrets/{each}" for each in names},
        }
        return [
            "--name", f"{name}{ending}", "--hostname", spec.name,
            *self._labels(spec), "--label", f"{SPEC}={spec_text(spec, names)}", "--network", name,
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
        return await self.well(reach, self.container(name), within_s=within_s)

    async def well(self, reach: Reach, container: str, *, within_s: float) -> Sitting:
        """Wait until a container is healthy. Raises NotHealthy."""
        until, restarts = self.site.clock.monotonic() + within_s, None
        while True:
            there = {each.container: each for each in await self.containers(reach)}
            found = there.get(container)
            why = None if found is not None else "it is gone"
            if found is not None:
                if await self.is_well(reach, found):
                    return replace(found, state=InstanceState.RUNNING)
                restarts = found.restarts if restarts is None else restarts
                why = why_not(found.said, found.restarts - restarts)
            if why is None and self.site.clock.monotonic() >= until:
                why = f"it gave no sign of life within {within_s:.0f} s"
            if why is not None:
                raise await self._unwell(reach, container, why)
            await self.sleep(self.poll_s)

    async def _unwell(self, reach: Reach, container: str, why: str) -> NotHealthy:
        ran = await self.shell.run(reach, ["docker", "logs", "--tail", str(LINES), container])
        lines = "\n".join(filter(None, (ran.stdout.strip(), ran.stderr.strip())))
        return NotHealthy(
            f"{container} on {reach.name} did not get well: {why}. {last_word(lines)}", lines=lines
        )

    async def is_well(self, reach: Reach, sitting: Sitting) -> bool:
        """Say whether a container lives: by the engine's word, else by asking inside.

        The engine runs the image's check twice a minute, the first time after half of one.
        """
        if sitting.state is not InstanceState.STARTING or not sitting.health:
            return sitting.state is InstanceState.RUNNING
        look = shlex.join(["docker", "exec", sitting.container, "python3", "-I", "-S", "-c", WATCH])
        check = shlex.join(["docker", "exec", sitting.container, *sitting.health])
        return (await self.shell.run(reach, ["sh", "-c", f"{look} && {check}"])).code == 0

    async def look(self, reach: Reach) -> list[Sitting]:
        """Return the instances on a server: the containers in office, or what is left of them."""
        found: dict[str, Sitting] = {}
        for each in await self.containers(reach):
            if not each.is_on_trial or each.instance not in found:
                found[each.instance] = each
        return list(found.values())

    async def containers(self, reach: Reach) -> list[Sitting]:
        """Return every container of the farm on a server, those on trial too, by name."""
        ran = await self.must(reach, ["sh", "-c", _INSPECT, "sh", self.site.farm])
        listed = json.loads(ran.stdout) if ran.stdout.strip() else []
        return sorted((_sitting(each) for each in listed), key=lambda each: each.container)

    async def find(self, reach: Reach, name: str) -> Sitting | None:
        """Return one instance on a server."""
        return next((each for each in await self.look(reach) if each.instance == name), None)

    async def start(self, reach: Reach, name: str) -> None:
        """Start it, and wait until it is well. Raises NotHealthy."""
        await self.must(reach, ["docker", "start", self.container(name)])
        found = await self.find(reach, name)
        spec = read_spec(found.spec)[0] if found is not None and found.spec else None
        within_s = TO_START_S if spec is None else spec.healthy_within_s
        await self.healthy(reach, name, within_s=within_s)

    async def stop(self, reach: Reach, name: str) -> None:
        """Stop it; its home stays."""
        await self.must(reach, ["docker", "stop", self.container(name)], timeout_s=STOP_WAIT_S)

    async def logs(self, reach: Reach, name: str, *, lines: int) -> str:
        """Return the last lines it wrote."""
        words = ["docker", "logs", "--tail", str(lines), self.container(name)]
        ran = await self.shell.run(reach, words)
        return (ran.stdout + ran.stderr).strip()

    async def remove(self, reach: Reach, name: str) -> None:
        """Remove it, its home, its network and its secrets; what is gone already is fine."""
        words = ["sh", "-c", _REMOVE, "sh", self.container(name), f"{FOLDER}/{name}"]
        await self.must(reach, words, timeout_s=STOP_WAIT_S)

    def helper(self, name: str) -> str:
        """Return the name of the container that carries its home."""
        return f"{self.container(name)}{_HELPER}"

    def container(self, name: str) -> str:
        """Return the name of its container, network and volume on the server."""
        return f"swarm-{self.site.farm}-{name}"

    # -- its parts

    async def image(self, reach: Reach, image: str, *, is_newest: bool = False) -> None:
        """Bring an image to a server that lacks it, or has what the name meant once.

        Args:
            reach: The server.
            image: Its name.
            is_newest: Whether what the name means today is wanted.

        Raises:
            PlaceError: It cannot be brought.
        """
        said = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
        ran = await self.shell.run(reach, said)
        if ran.code == 0 and not (is_newest and await self._is_old(image, ran.stdout.strip())):
            return
        if is_in_registry(image):
            self.site.say(f"{reach.name} pulls {image}")
            await self.must(
                reach, ["docker", "pull", "--quiet", image], timeout_s=IMAGE_TO_ARRIVE_S
            )
            return
        self.site.say(f"the image {image} is sent to {reach.name}")
        ran = await self.shell.send_image(reach, image, timeout_s=IMAGE_TO_ARRIVE_S)
        if ran.code != 0:
            raise failed(reach, "docker load", ran)

    async def _is_old(self, image: str, id_there: str) -> bool:
        """Say whether an image's name may mean another image by now than the one a server has."""
        return is_in_registry(image) or await self.shell.image_here(image) != id_there

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
        await self.must(reach, words, stdin=packed.getvalue())

    def _folder(self, name: str) -> str:
        return f"{FOLDER}/{name}/secrets"

    def _labels(self, spec: InstanceSpec) -> list[str]:
        labels = labels_of(
            self.site, instance=spec.name, generation=spec.generation, owner=spec.owner
        )
        labels[OWNER_NAME] = spec.owner
        return [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]

    async def must(
        self, reach: Reach, words: list[str], *, stdin: bytes = b"", timeout_s: float = 60.0
    ) -> Ran:
        """Run a command that is to succeed. Raises NoPlace, PlaceError."""
        ran = await self.shell.run(reach, words, stdin=stdin, timeout_s=timeout_s)
        if ran.code != 0:
            raise failed(reach, " ".join(words[:2]), ran)
        return ran


def is_in_registry(image: str) -> bool:
    """Say whether an image's name says which registry it is in: its first part is a host's name."""
    host, slash, _ = image.partition("/")
    return bool(slash) and ("." in host or ":" in host or host == "localhost")


def failed(reach: Reach, what: str, ran: Ran) -> PlaceError:
    """Say that a command on a server failed."""
    said = (ran.stderr or ran.stdout).strip()
    if "cannot connect to the docker daemon" in said.lower():
        return NoPlace(
            f"Docker on {reach.name} does not answer: start it there (`systemctl start docker`), and "
            "run the command again; it goes on where it stopped"
        )
    return PlaceError(f"{what} on {reach.name} failed: {shorten(said, 300) or f'code {ran.code}'}")


def _sitting(found: Any) -> Sitting:
    labels, state = found["Config"].get("Labels") or {}, found["State"]
    health = (state.get("Health") or {}).get("Status")
    name = str(found.get("Name", "")).lstrip("/")
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
        since, detail, name, _check_of(found["Config"]), labels.get(SPEC, ""),
        name.endswith(_NEXT), int(found.get("RestartCount") or 0), state,
    )  # fmt: skip


def _check_of(config: Any) -> tuple[str, ...]:
    """Return the words of an image's own check; none where it has none."""
    test = list((config.get("Healthcheck") or {}).get("Test") or [])
    if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
        return ()
    return tuple(test[1:] if test[0] == "CMD" else ["/bin/sh", "-c", *test[1:]])
