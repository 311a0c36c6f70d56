"""Reach inside instances on servers: commands, homes out and in, another image on the same home.

An upgrade makes the new container beside the old one, under a name of its own, and lets it take office
once it is well. So a death at any moment leaves at least one that can serve, and the next run sees by
the names which it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.text import shorten
from swarm.farm.backup import python_words
from swarm.farm.base import (
    Action,
    Entry,
    InstanceState,
    Intent,
    Kind,
    NoPlace,
    NotHealthy,
    PlaceError,
    Ran,
    Site,
)
from swarm.farm.cloud.packing import Seat
from swarm.farm.cloud.seats import STOP_WAIT_S, UID, Seats, Sitting
from swarm.farm.cloud.ssh import Reach
from swarm.farm.docker.client import open_target
from swarm.farm.specs import read_spec

CARRY_S = 3600.0
"""A home may be large, and a line to a server slow."""
ASK_S = 120.0
_SWAP = 'docker rm -f -v "$1" >/dev/null 2>&1; docker rename "$1--next" "$1"'


@dataclass(frozen=True, slots=True)
class Keeping:
    """What can be done besides the six verbs with the instances of one vendor's servers."""

    site: Site
    provider: str
    seats: Seats

    async def run(self, reach: Reach, name: str, words: Sequence[str]) -> Ran:
        """Run a command inside a running instance, as its user. Raises NotFound, NoPlace."""
        sitting = await self._sitting(reach, name)
        if sitting.state is InstanceState.STOPPED:
            raise NotFound(f"{name} does not run: `swarm farm start {name}`.")
        said = ["docker", "exec", sitting.container, *words]
        return await self.seats.shell.run(reach, said, timeout_s=ASK_S)

    async def save(self, reach: Reach, name: str, target: Path) -> None:
        """Write an instance's home as one archive; what a lost connection left of it is removed."""
        sitting = await self._sitting(reach, name)
        if sitting.state is InstanceState.STOPPED:
            words = await self._beside(reach, sitting, "save")
        else:
            words = ["docker", "exec", sitting.container, *python_words("save")]
        try:
            with open_target(target) as file:
                await self._carried(reach, words, stdout=file)
        except BaseException:
            _drop(target)
            raise

    async def load(self, reach: Reach, name: str, source: Path) -> None:
        """Put an archive in place of the home of a stopped instance. Raises NotFound, Conflict."""
        sitting = await self._sitting(reach, name)
        if sitting.state is not InstanceState.STOPPED:
            raise Conflict(f"{name} runs: stop it first.")
        words = await self._beside(reach, sitting, "load", "--interactive")
        with source.open("rb") as file:
            await self._carried(reach, words, source=file)

    async def upgrade(
        self, reach: Reach, seat: Seat, image: str, *, generation: str, within_s: float
    ) -> Sitting:
        """Run another image on the same home; the old one runs again where the new gets not well.

        Raises:
            NotHealthy: The old one runs.
        """
        old = await self.recover(reach, seat)
        await self.seats.image(reach, image, is_newest=True)
        if await self._is_same(reach, old, image):
            if old.state is InstanceState.STOPPED:
                await self.seats.start(reach, seat.instance)
            return await self.seats.healthy(reach, seat.instance, within_s=within_s)
        spec, secrets = read_spec(_told(old))
        spec = replace(spec, image=image, generation=generation, healthy_within_s=within_s)
        gone, made = await self._intended(seat, generation)
        try:
            self.site.say("making the new container beside the old one")
            await self.seats.must(reach, self.seats.trial_words(spec, secrets), timeout_s=ASK_S)
            self.site.say("stopping the old one")
            await self.seats.must(reach, ["docker", "stop", old.container], timeout_s=STOP_WAIT_S)
            await self._carried(reach, await self._beside(reach, old, "keep"))
            self.site.say("starting the new one, and waiting for its first sign of life")
            trial = await self._on_trial(reach, seat.instance)
            await self.seats.must(reach, ["docker", "start", trial.container])
            await self.seats.well(reach, trial.container, within_s=within_s)
        except NoPlace:
            raise  # What it did is not known: said again, it looks and goes on.
        except (NotHealthy, InvalidInput, NotFound, PlaceError) as error:
            await self._go_back(reach, seat, old, [gone, made])
            text = f"{error} The old image runs again, with all it had."
            raise NotHealthy(text, lines=getattr(error, "lines", "")) from error
        return await self._take_office(reach, seat, [gone, made])

    async def recover(self, reach: Reach, seat: Seat) -> Sitting:
        """Return the container in office, once an upgrade that a dead run left is finished or undone.

        Raises:
            NotFound: There is none.
        """
        mine = [c for c in await self.seats.containers(reach) if c.instance == seat.instance]
        office = next((each for each in mine if not each.is_on_trial), None)
        trial = next((each for each in mine if each.is_on_trial), None)
        left = await self._left_open(seat)
        if trial is None:
            return await self._closed(reach, seat, office, left)
        self.site.say("an earlier upgrade did not end: looking at what it left")
        if office is None or await self.seats.is_well(reach, trial):
            return await self._take_office(reach, seat, left)
        await self._go_back(reach, seat, office, left)
        return await self._sitting(reach, seat.instance)

    async def forget(self, seat: Seat) -> None:
        """Close what a dead upgrade left on the books of an instance that is removed."""
        for entry in await self._left_open(seat):
            if entry.intent.action is Action.CREATE:
                await self.site.journal.undone(entry, why="its instance was removed")

    # -- the steps of an upgrade

    async def _is_same(self, reach: Reach, old: Sitting, image: str) -> bool:
        """Say whether an image's name means what runs already."""
        said = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
        ran = await self.seats.must(reach, said)
        return old.image == image and ran.stdout.strip() == old.image_id

    async def _intended(self, seat: Seat, generation: str) -> tuple[Entry, Entry]:
        """Write down that one container ends and another begins; the end first.

        Both have one name on the books, and what is noted later holds.
        """
        of = seat.entry.intent
        gone = await self.site.journal.intend(replace(of, action=Action.DELETE))
        made = replace(of, action=Action.CREATE, generation=generation)
        return gone, await self.site.journal.intend(made)

    async def _take_office(
        self, reach: Reach, seat: Seat, entries: Sequence[Entry]
    ) -> Sitting:  # fmt: skip
        """Let the container on trial serve from now on."""
        name = self.seats.container(seat.instance)
        await self.seats.must(reach, ["sh", "-c", _SWAP, "sh", name], timeout_s=STOP_WAIT_S)
        sitting = await self._sitting(reach, seat.instance)
        return await self._closed(reach, seat, sitting, entries)

    async def _closed(
        self, reach: Reach, seat: Seat, office: Sitting | None, entries: Sequence[Entry]
    ) -> Sitting:
        """Drop what was kept for going back, and only then bring the books to what is there.

        Kept books that outlived their upgrade would be taken for those of the next one.
        """
        if office is None:
            raise NotFound(f"{seat.instance} is not on {seat.host} any more; create it again")
        if entries or not seat.is_taken:
            await self._forget_books(reach, office)
        is_new = office.generation != seat.generation
        for entry in sorted(entries, key=lambda each: each.id):
            if not is_new:
                await self.site.journal.undone(entry, why="the old one serves on")
            elif entry.intent.action is Action.DELETE:
                await self.site.journal.done(entry, resource_id=seat.entry.resource_id)
            elif entry.intent.generation == office.generation:
                await self.site.journal.done(entry, resource_id=office.id)
            else:
                await self.site.journal.undone(entry, why="another took its place")
        if not seat.is_taken and not is_new:
            await self.site.journal.done(seat.entry, resource_id=office.id)
        return office

    async def _forget_books(self, reach: Reach, office: Sitting) -> None:
        if office.state is InstanceState.STOPPED:
            await self._carried(reach, await self._beside(reach, office, "forget"))
        else:
            said = ["docker", "exec", office.container, *python_words("forget")]
            await self._carried(reach, said)

    async def _go_back(
        self, reach: Reach, seat: Seat, old: Sitting, entries: Sequence[Entry]
    ) -> None:
        """Let the old container serve again, on the books it had if the new one changed their form."""
        self.site.say("it does not get well: going back to the old one")
        trial = f"{self.seats.container(seat.instance)}--next"
        await self.seats.shell.run(reach, ["docker", "rm", "-f", "-v", trial])
        await self._carried(reach, await self._beside(reach, old, "put-back"))
        await self.seats.must(reach, ["docker", "start", old.container])
        for entry in entries:
            await self.site.journal.undone(entry, why="the old one serves on")

    async def _left_open(self, seat: Seat) -> list[Entry]:
        """Return the open entries of an upgrade whose run died."""
        entries = await self.site.journal.entries(
            provider=self.provider, instance=seat.instance, only_open=True
        )
        return [e for e in entries if _is_of_upgrade(e.intent) and e.id != seat.entry.id]

    # -- a home

    async def _beside(
        self, reach: Reach, sitting: Sitting, verb: str, *options: str
    ) -> list[str]:  # fmt: skip
        """Return the command that runs a verb in a helper with the home, no network, no secrets."""
        name, helper = self.seats.container(sitting.instance), self.seats.helper(sitting.instance)
        await self.seats.shell.run(reach, ["docker", "rm", "-f", "-v", helper])
        entry, *rest = python_words(verb)
        return [
            "docker", "run", "--rm", "--name", helper, *options, "--network", "none",
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only",
            "--user", f"{UID}:{UID}", "--memory", "512m", "--pids-limit", "64",
            "--log-driver", "none", "--tmpfs", "/tmp:size=16m",  # noqa: S108  # inside the container
            "--volume", f"{name}:/data", "--entrypoint", entry, sitting.image_id, *rest,
        ]  # fmt: skip

    async def _carried(self, reach: Reach, words: list[str], **streams: Any) -> None:
        ran = await self.seats.shell.run(reach, words, timeout_s=CARRY_S, **streams)
        if ran.code != 0:
            why = shorten(" ".join(ran.stderr.split()) or f"code {ran.code}", 300)
            raise PlaceError(f"The home of the instance cannot be carried: {why}.")

    async def _sitting(self, reach: Reach, name: str) -> Sitting:
        found = await self.seats.find(reach, name)
        if found is None:
            raise NotFound(f"{name} is not on {reach.name} any more; create it again")
        return found

    async def _on_trial(self, reach: Reach, name: str) -> Sitting:
        for each in await self.seats.containers(reach):
            if each.instance == name and each.is_on_trial:
                return each
        raise NotFound(f"the new container of {name} was made and is gone")


def _is_of_upgrade(intent: Intent) -> bool:
    return intent.kind is Kind.CONTAINER and intent.action in (Action.CREATE, Action.DELETE)


def _drop(path: Path) -> None:
    path.unlink(missing_ok=True)


def _told(sitting: Sitting) -> str:
    if not sitting.spec:
        raise InvalidInput(
            f"{sitting.instance} was started by an early version, which did not note what it was made "
            "from: back it up, rm it, start it anew and restore the backup"
        )
    return sitting.spec
