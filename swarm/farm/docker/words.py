"""What things are called in an engine, and the words that make them."""

import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarm.core.errors import InvalidInput
from swarm.farm.base import FARM, MANAGED_BY, OWNER, SWARM, InstanceSpec, Secrets, Site, labels_of
from swarm.farm.specs import SPEC, heard_at, spec_text

PART, OWNER_NAME, REPLACES = "part", "owner-name", "replaces"
"""Our further labels: which part of an instance it is, the owner as written, and the generation whose
place it is to take."""
SEAT, HELPER, HOME, SECRETS, NETWORK = "seat", "helper", "home", "secrets", "network"
SECRETS_FOLDER = "/run/secrets"
HOME_FOLDER = "/data"
STOP_S = 20
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}")
_SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_USER = re.compile(r"([1-9][0-9]*)(?::([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one instance's things."""

    farm: str
    instance: str

    @property
    def stem(self) -> str:
        """What all names begin with; also the network's name."""
        return f"swarm-{self.farm}-{self.instance}"

    @property
    def home(self) -> str:
        """The volume that holds its home."""
        return f"{self.stem}-home"

    @property
    def secrets(self) -> str:
        """The volume that holds its secrets."""
        return f"{self.stem}-secrets"

    def seat(self, generation: str) -> str:
        """The container of one generation."""
        return f"{self.stem}-{generation}"

    @property
    def helper(self) -> str:
        """A container that looks into volumes and is gone at once."""
        return f"{self.stem}-helper"


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the engine has it."""

    id: str
    uid: int
    gid: int
    health: tuple[str, ...]
    """The words of its own health check."""


def check_image(name: str) -> str:
    """Return an image's name that cannot be taken for an option.

    Raises:
        InvalidInput: It can, or is no name.
    """
    if _IMAGE.fullmatch(name) is None:
        raise InvalidInput(
            f"{name!r} is no image's name: write it like swarm or ghcr.io/us/swarm:1.2"
        )
    return name


def check_secrets(secrets: Secrets) -> None:
    """Refuse names that are no variables.

    Raises:
        InvalidInput: One is none, or its value is empty or more than a line.
    """
    for name, value in secrets.items():
        if _SECRET_NAME.fullmatch(name) is None:
            raise InvalidInput(
                f"{name!r} cannot be a secret's name: write it like ANTHROPIC_API_KEY"
            )
        text = value.get_secret_value()
        if not text.strip() or "\n" in text.strip():
            raise InvalidInput(f"the secret {name} is empty or has more than one line")


def read_image(name: str, found: Mapping[str, Any]) -> Image:
    """Read what `docker image inspect` says.

    Raises:
        InvalidInput: It runs as root, or cannot say whether it is well.
    """
    config = found["Config"]
    user = _USER.fullmatch(str(config.get("User") or ""))
    if user is None:
        raise InvalidInput(
            f"the image {name} runs as {config.get('User') or 'root'!r}: take one whose Dockerfile "
            "sets a number other than 0 with USER, as Swarm's own does"
        )
    test = list((config.get("Healthcheck") or {}).get("Test") or [])
    if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
        raise InvalidInput(
            f"the image {name} has no health check, so nobody could say that an instance is well"
        )
    words = test[1:] if test[0] == "CMD" else ["/bin/sh", "-c", *test[1:]]
    uid = int(user[1])
    return Image(str(found["Id"]), uid, int(user[2] or uid), tuple(map(str, words)))


def labels(site: Site, spec: InstanceSpec, part: str) -> dict[str, str]:
    """Return the labels of one part of an instance."""
    common = labels_of(site, instance=spec.name, generation=spec.generation, owner=spec.owner)
    return {**common, PART: part, OWNER_NAME: spec.owner}


def label_words(values: Mapping[str, str]) -> list[str]:
    """Return the options that set labels."""
    return [word for name, value in values.items() for word in ("--label", f"{name}={value}")]


def ours(site: Site, **more: str) -> list[str]:
    """Return the filters that find what carries our labels."""
    wanted = {MANAGED_BY: SWARM, FARM: site.farm, **more}
    return [
        word for name, value in wanted.items() for word in ("--filter", f"label={name}={value}")
    ]


def seat_words(
    site: Site, spec: InstanceSpec, image: Image, secret_names: list[str], *,
    publish: int | None, replaces: str = "",
) -> list[str]:  # fmt: skip
    """Return the words that create a seat: little that it may do, and nothing of the host.

    No ulimits: setting them needs a right that an engine in a sandbox lacks.
    """
    names = Names(site.farm, spec.name)
    marked = labels(site, spec, SEAT) | {SPEC: spec_text(spec, secret_names)}
    if replaces:
        marked[REPLACES] = replaces
    variables = heard_at(publish, spec.environment) | {
        f"{name}_FILE": f"{SECRETS_FOLDER}/{name}" for name in secret_names
    }
    port = [] if publish is None else ["--publish", f"127.0.0.1:{spec.port or ''}:{publish}"]
    return [
        "create", "--pull", "never", "--name", names.seat(spec.generation), *label_words(marked),
        "--hostname", spec.name, "--network", names.stem, "--network-alias", spec.name, *port,
        "--memory", f"{spec.memory_mib}m", "--memory-swap", f"{spec.memory_mib}m",
        "--cpus", str(spec.cpus), "--pids-limit", str(spec.pids),
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only",
        "--tmpfs", "/tmp:size=256m,mode=1777,nosuid,nodev",  # noqa: S108  # inside the container
        "--restart", "unless-stopped", "--stop-timeout", str(STOP_S),
        "--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=3",
        "--mount", f"type=volume,source={names.home},target={HOME_FOLDER}",
        "--mount", f"type=volume,source={names.secrets},target={SECRETS_FOLDER},readonly",
        *(word for name, value in variables.items() for word in ("--env", f"{name}={value}")),
        image.id,
    ]  # fmt: skip


def helper_words(site: Site, spec: InstanceSpec, *, verb: str) -> list[str]:
    """Return the words before a helper's image: no network, no rights, both volumes left out."""
    names = Names(site.farm, spec.name)
    return [
        verb, "--name", names.helper, *label_words(labels(site, spec, HELPER)),
        "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--memory", "512m", "--pids-limit", "64", "--log-driver", "none",
    ]  # fmt: skip


def secrets_archive(secrets: Secrets, image: Image) -> bytes:
    """Return a tar archive with a file for each secret, for the eyes of the image's user alone."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, value in sorted(secrets.items()):
            data = value.get_secret_value().strip().encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(data), 0o600, image.uid, image.gid
            archive.addfile(entry, io.BytesIO(data))
    return target.getvalue()


def owner_of(marked: Mapping[str, str]) -> str:
    """Return the owner as it was written."""
    return marked.get(OWNER_NAME) or marked.get(OWNER, "")
