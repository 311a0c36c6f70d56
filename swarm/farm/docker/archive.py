"""Carry an instance's home in and out of its volume."""

from pathlib import Path
from typing import IO, Any

from swarm.core.text import shorten
from swarm.farm.backup import python_words
from swarm.farm.base import PlaceError, Site
from swarm.farm.docker import words
from swarm.farm.docker.client import DockerClient, open_target
from swarm.farm.docker.looking import Thing
from swarm.farm.docker.words import HOME_FOLDER, Names
from swarm.farm.specs import SPEC, read_spec

CARRY_S = 3600.0
_SHOWN = 300


class Archive:
    """Run `swarm.farm.inside` beside an instance: in its container, or in one with its home alone."""

    def __init__(self, site: Site, client: DockerClient) -> None:
        self._site = site
        self._client = client

    async def save(self, seat: Thing, target: Path) -> None:
        """Write the home as one archive, consistent while the instance runs."""
        with open_target(target) as file:
            if seat.is_running:
                await self._ran(
                    "exec", seat.name, *python_words("save"), stdout=file, timeout_s=CARRY_S
                )
            else:
                await self._beside(seat, "save", stdout=file)

    async def load(self, seat: Thing, source: Path) -> None:
        """Put an archive in place of the home of a seat that does not run."""
        with source.open("rb") as file:
            await self._beside(seat, "load", source=file)

    async def keep(self, seat: Thing) -> None:
        """Put the books aside before an upgrade."""
        await self._beside(seat, "keep")

    async def put_back(self, seat: Thing) -> None:
        """Take the books that were put aside, if their form has changed since."""
        await self._beside(seat, "put-back")

    async def forget(self, seat: Thing) -> None:
        """Drop the books that were put aside, and the sign of life that is not this seat's."""
        await self._ran("exec", seat.name, *python_words("forget"))

    async def _beside(
        self, seat: Thing, verb: str, *, stdout: IO[bytes] | None = None,
        source: IO[bytes] | None = None,
    ) -> None:  # fmt: skip
        """Run a verb in a helper that has the instance's home, no network and no secrets."""
        spec, _ = read_spec(seat.labels[SPEC])
        names = Names(self._site.farm, spec.name)
        await self._client.run("rm", "--force", "--volumes", names.helper)
        fed = ["--interactive"] if source is not None else []
        entry, *rest = python_words(verb)
        # `--log-driver none` would swallow nothing here: its output is ours, over the attached pipe.
        await self._ran(
            *words.helper_words(self._site, spec, verb="run"), "--rm", *fed, "--read-only",
            "--mount", f"type=volume,source={names.home},target={HOME_FOLDER}",
            "--tmpfs", "/tmp:size=16m", "--entrypoint", entry,  # noqa: S108  # inside the container
            str(seat.raw["Image"]), *rest, stdout=stdout, source=source, timeout_s=CARRY_S,
        )  # fmt: skip

    async def _ran(self, *said: str, **streams: Any) -> None:
        await self._client.check_local()
        ran = await self._client.run(*said, **streams)
        if ran.code != 0:
            why = shorten(" ".join(ran.stderr.split()) or "it said nothing", _SHOWN)
            raise PlaceError(f"The home of the instance cannot be carried: {why}.")
