"""An instance in a container, as an operator starts one, and what a test looks at from outside."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.docker.engine import ROOT, Engine

UID = "10001"
HARDENED = (
    "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges", "--memory", "512m", "--pids-limit", "256",
)  # fmt: skip
"""What the compose files set. The seccomp profile is Docker's own: nothing here names one."""
PROVIDER_URL = "http://127.0.0.1:8000/v1"
LOOK_S = 0.1


@dataclass(frozen=True)
class Container:
    """One container of the engine, by its name."""

    engine: Engine
    name: str

    def inspect(self) -> dict[str, Any]:
        """Return what the daemon says of it."""
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", self.name))[0]
        return found

    @property
    def logs(self) -> str:
        """What it wrote, both streams."""
        return self.engine.docker("logs", self.name)

    @property
    def health(self) -> str:
        """`starting`, `healthy` or `unhealthy`."""
        return str(self.inspect()["State"]["Health"]["Status"])

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        state = self.inspect()["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def exec(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as its user."""
        return self.engine.run("exec", self.name, *words)

    def sh(self, script: str) -> str:
        """Run a shell's line inside and return what it printed, whatever came of it."""
        done = self.exec("sh", "-c", script)
        return (done.stdout + done.stderr).strip()

    def swarm(self, *words: str) -> Any:
        """Run a command of the product inside and return the document it printed."""
        done = self.exec("swarm", *words, "--json")
        assert done.stdout, f"swarm {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout)

    def address(self) -> str:
        """Return its address in its own network."""
        networks = self.inspect()["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def until(self, is_so: Callable[[], bool], *, within_s: float = 30.0) -> float:
        """Wait until something seen from outside is so; return how long that took, in seconds."""
        began = time.monotonic()
        while not is_so():
            if time.monotonic() - began > within_s:
                raise AssertionError(f"{self.name}: not within {within_s} s; it said:\n{self.logs}")
            time.sleep(LOOK_S)
        return time.monotonic() - began

    def until_ready(self) -> float:
        """Wait until it takes work."""
        return self.until(lambda: "Swarm works in" in self.logs)


@dataclass(frozen=True)
class Instances:
    """Start instances of one image; the daemon's end removes them."""

    engine: Engine
    tag: str
    base: str
    """The image that it stands on."""

    def run(
        self, *words: str, name: str, volume: str | None = None, network: str = "none",
        command: tuple[str, ...] = (),
    ) -> Container:  # fmt: skip
        """Start one in the background with the hardened profile; `words` are more options."""
        self.engine.docker(
            "run", "--detach", "--name", name, "--network", network, *HARDENED,
            "--health-interval", "1s", "--volume", f"{volume or name}:/data",
            *words, self.tag, *command,
        )  # fmt: skip
        return Container(self.engine, name)

    def once(self, *words: str, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        """Run a command in a container that is gone afterwards."""
        return self.engine.run("run", "--rm", "--network", "none", *words, self.tag, *command)

    def provider(self, name: str, *, delay_s: float) -> Container:
        """Start the scripted provider; who joins its network finds it on loopback, alone there."""
        self.engine.docker(
            "run", "--detach", "--name", name, "--network", "none", "--read-only",
            "--volume", f"{ROOT / 'tests'}:/app/tests:ro", "--workdir", "/app",
            "--entrypoint", "/usr/bin/tini", self.tag, "-s", "--",
            "python", "-m", "tests.image.provider", "--delay", str(delay_s),
        )  # fmt: skip
        return Container(self.engine, name)
