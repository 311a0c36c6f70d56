"""Take the words that the farm says to Docker on a server. Run as `docker` in the server's path."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PLACE = Path(sys.argv[1])
VALUED = {
    "--name", "--hostname", "--label", "--network", "--volume", "--tmpfs", "--cap-drop",
    "--security-opt", "--user", "--memory", "--memory-swap", "--cpus", "--pids-limit", "--restart",
    "--stop-timeout", "--log-driver", "--log-opt", "--env", "--entrypoint", "--filter", "--format",
    "--tail",
}  # fmt: skip


@contextmanager
def books() -> Iterator[dict[str, Any]]:
    """Open what the server has, alone."""
    with (PLACE / "books.json").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = json.load(file)
        yield found
        file.seek(0)
        file.truncate()
        json.dump(found, file)


def parsed(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Split words into options and the rest."""
    options: dict[str, list[str]] = {}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        options.setdefault(name, []).append(rest.pop(0) if name in VALUED else "")
    return options, rest


def refuse(text: str) -> int:
    """Complain as the engine does."""
    sys.stderr.write(f"Error response from daemon: {text}\n")
    return 1


def home_of(options: dict[str, list[str]]) -> str:
    """Return the volume that is mounted as the home."""
    found: list[str] = [v for v in options["--volume"] if v.endswith(":/data")]
    return found[0].split(":")[0]


def make(words: list[str], *, runs: bool) -> int:
    """Make a container."""
    options, rest = parsed(words)
    name, image = options["--name"][0], rest[0]
    with books() as found:
        if name in found["containers"]:
            return refuse(f"the container name {name} is already in use")
        if image not in found["images"]:
            return refuse(f"No such image: {image}")
        found["made"] += 1
        found["containers"][name] = {
            "id": hashlib.sha256(f"{name}{found['made']}".encode()).hexdigest(), "runs": runs,
            "labels": dict(each.split("=", 1) for each in options["--label"]), "image": image,
            "image_id": found["images"][image]["id"], "home": home_of(options),
            "well": found["images"][image]["well"], "dies": found["images"][image]["dies"],
            "restarts": 0,
        }  # fmt: skip
    return 0


def inside(words: list[str], home: str) -> int:
    """Run a command with a volume as its home."""
    name, *rest = words
    if name == "swarm":
        print(json.dumps({"ok": True}))  # noqa: T201  # stands for a program
        return 0
    program = sys.executable if name == "python3" else name
    folder = PLACE / "volumes" / home
    stall = PLACE / "stall"
    command = [program, *rest]
    if rest[-1:] == ["save"] and stall.exists():
        done = subprocess.run(
            command, env={"SWARM_HOME": str(folder)}, capture_output=True, check=False
        )
        sys.stdout.buffer.write(done.stdout[: len(done.stdout) // 2])
        sys.stdout.flush()
        (PLACE / "half").write_text(str(session()))
        stall.unlink()
        time.sleep(20)
        return 0
    return subprocess.run(
        command, env={"SWARM_HOME": str(folder), "PATH": os.defpath}, cwd=folder, check=False
    ).returncode


def session() -> int:
    """Return the number of the process that holds this connection."""
    number = os.getppid()
    while Path(f"/proc/{number}/comm").read_text().strip() not in ("sshd", "sshd-session"):
        number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    return number


def shown(name: str, box: dict[str, Any]) -> dict[str, Any]:
    """Return a container as `docker inspect` writes it."""
    # What ends by itself is started again and again, and is said to run between two starts.
    status = "restarting" if box["dies"] and box["runs"] else "running" if box["runs"] else "exited"
    state = {
        "Status": status, "Running": box["runs"], "ExitCode": 0, "OOMKilled": False,
        "StartedAt": "2026-01-01T00:00:00.123456789Z", "Health": {"Status": "starting"},
    }  # fmt: skip
    box["restarts"] += status == "restarting"
    return {
        "Id": box["id"], "Name": f"/{name}", "State": state, "RestartCount": box["restarts"],
        "Image": box["image_id"], "Config": {
            "Image": box["image"], "Labels": box["labels"],
            "Healthcheck": {"Test": ["CMD", "true"]},
        },
    }  # fmt: skip


def execute(words: list[str]) -> int:
    """Run a command in a container that runs."""
    name, *rest = words
    with books() as found:
        box = found["containers"].get(name)
    if box is None or not box["runs"]:
        return refuse(f"Container {name} is not running")
    if box["dies"]:
        return refuse(f"Container {name} is restarting, wait until the container is running")
    if "heartbeat" in " ".join(rest) and "born" in " ".join(rest):
        return 0 if box["well"] else 1
    return inside(rest, box["home"])


def change(verb: str, words: list[str]) -> int:
    """Start, stop, rename or remove containers."""
    _, names = parsed(words)
    with books() as found:
        boxes = found["containers"]
        if verb == "rename":
            if names[1] in boxes:
                return refuse(f"the container name {names[1]} is already in use")
            boxes[names[1]] = boxes.pop(names[0])
            return 0
        missing = [name for name in names if name not in boxes]
        for name in set(names) - set(missing):
            if verb == "rm":
                boxes.pop(name)
            else:
                boxes[name]["runs"] = verb == "start"
    return refuse(f"No such container: {missing[0]}") if missing else 0


def image(words: list[str]) -> int:
    """Say an image's id."""
    with books() as found:
        known = found["images"].get(words[-1])
    if known is None:
        return refuse(f"No such image: {words[-1]}")
    print(known["id"])  # noqa: T201  # stands for a program
    return 0


def inspect(words: list[str]) -> int:
    """Show containers."""
    with books() as found:
        boxes = found["containers"]
        known = [shown(name, boxes[name]) for name in words if name in boxes]
    print(json.dumps(known))  # noqa: T201  # stands for a program
    return 0 if len(known) == len(words) else 1


def load() -> int:
    """Take an image: its name, its id and whether it gets well."""
    name, id_, well = sys.stdin.read().split()
    with books() as found:
        found["images"][name] = {"id": id_, "well": well == "well", "dies": well == "dies"}
        found["loads"] += 1
    return 0


def volume(words: list[str]) -> int:
    """Make or remove a volume."""
    folder = PLACE / "volumes" / words[-1]
    if words[0] == "create":
        folder.mkdir(parents=True, exist_ok=True)
        return 0
    if words[0] == "inspect":
        return 0 if folder.is_dir() else refuse("no such volume")
    if words[0] == "ls":
        names = [path.name for path in (PLACE / "volumes").iterdir()]
        return listed(names, parsed(words[1:])[0])
    if not folder.is_dir():
        return refuse("no such volume")
    with books() as found:
        if words[-1] in [box["home"] for box in found["containers"].values()]:
            return refuse(f"remove {words[-1]}: volume is in use")
    shutil.rmtree(folder)
    return 0


def listed(names: list[str], options: dict[str, list[str]]) -> int:
    """Print the names that the filters let through; a label is the whole farm's here."""
    wanted = [f.partition("=")[2] for f in options.get("--filter", []) if f.startswith("name=")]
    print("\n".join(n for n in names if all(re.search(w, n) for w in wanted)))  # noqa: T201  # stands for a program
    return 0


def main(words: list[str]) -> int:
    """Do one command."""
    verb, *rest = words
    if (PLACE / "down").exists():
        sys.stderr.write("Cannot connect to the Docker daemon. Is the docker daemon running?\n")
        return 1
    with (PLACE / "said").open("a") as said:
        said.write(f"{verb} {' '.join(w if len(w) < 80 else '…' for w in rest)}\n")
    if verb == "run" and "--rm" in rest:
        options, left = parsed(rest)
        return inside([*options["--entrypoint"], *left[1:]], home_of(options))
    simple = {"image": image, "inspect": inspect, "exec": execute, "volume": volume}
    if verb in simple:
        return simple[verb](rest)
    if verb in ("run", "create"):
        return make(rest, runs=verb == "run")
    if verb in ("start", "stop", "rename", "rm"):
        return change(verb, rest)
    if verb == "ps":
        with books() as found:
            names = list(found["containers"])
        return listed(names, parsed(rest)[0])
    if verb == "load":
        return load()
    return 0 if verb in ("network", "logs") else refuse(f"what is {verb}?")


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
