"""A farm: what `swarm farm` does, whatever place the instances are in."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from swarm.core.clock import Clock
from swarm.core.errors import ConfigError, Conflict, InvalidInput, NotFound, SwarmError
from swarm.core.money import CostStatus, plain
from swarm.farm import backup as backups
from swarm.farm.base import (
    HOURS_OF_A_MONTH,
    Driver,
    Entry,
    Instance,
    InstanceSpec,
    InstanceState,
    Keeper,
    NoPlace,
    NotHealthy,
    PlaceBusy,
    Price,
    Runner,
    Secrets,
    Site,
    check_name,
)
from swarm.farm.findings import Finding
from swarm.farm.reconcile import compare, mend
from swarm.farm.records import COMING, GOING, RUNNING, STOPPED, Record, Records
from swarm.farm.spending import ask
from swarm.farm.talking import Talk, talk

_RENTED = ("hetzner", "scaleway")
LOCKS, BACKUPS, WORK = "locks", "backups", "work"
BUDGET_DAY, BUDGET_MONTH = "SWARM_BUDGET__DAY", "SWARM_BUDGET__MONTH"


@dataclass(frozen=True, slots=True)
class Seen:
    """An instance as it is wanted and as its place reports it."""

    record: Record | None
    instance: Instance | None
    problem: str = ""
    """Why its place could not be asked."""


@dataclass(frozen=True, slots=True)
class Started:
    """What came of `up`."""

    record: Record
    instance: Instance
    price: Price
    is_new: bool
    talk: Talk


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of `restore`."""

    backup: backups.Backup
    instance: Instance
    safety: Path | None
    """The backup of what was there before."""
    is_audit_whole: bool | None
    """None where the driver cannot ask."""
    audit: str


@dataclass(frozen=True, slots=True)
class Read:
    """What came of asking an instance what it spent."""

    record: Record
    problem: str
    """Why it could not be asked; empty where it could."""


class Farm:
    """All instances of one operator. One command at a time works on one instance."""

    def __init__(
        self,
        *,
        site: Site,
        records: Records,
        drivers: Callable[[str], Driver],
        recipient: str | None = None,
    ) -> None:
        """Take what the farm is made of.

        Args:
            site: Whose farm it is, its journal and its folder.
            records: The rows of its instances.
            drivers: Return the driver of a name; the same one each time.
            recipient: For whom backups are sealed; None leaves them readable for this user alone.
        """
        self.site = site
        self.records = records
        self._drivers = drivers
        self._recipient = recipient

    @property
    def clock(self) -> Clock:
        """The clock of the farm."""
        return self.site.clock

    async def price(self, spec: InstanceSpec, *, driver: str) -> Price:
        """Return what an instance would cost. Raises InvalidInput, PlaceError."""
        return await self._drivers(driver).price(spec)

    async def up(self, spec: InstanceSpec, secrets: Secrets, *, driver: str) -> Started:
        """Make an instance, or finish one that a dead run left half-made.

        Raises:
            Conflict: The name is somebody else's, or elsewhere, or another command works on it.
            NotHealthy, NoCapacity, PlaceError: As the driver says; what was made is gone again.
        """
        check_name(spec.name)
        began = self.clock.monotonic()
        with self._locked(spec.name):
            record = self._wanted(spec, secrets, driver)
            place = self._drivers(driver)
            price = await place.price(record.spec)
            is_new = record.state == COMING
            if is_new:
                record = self.records.put(
                    replace(record, spec=_metered(record.spec, price, driver))
                )
            instance = await self._created(place, record, secrets)
            if is_new:
                took_ms = round((self.clock.monotonic() - began) * 1000)
                record = self.records.change(
                    record, state=RUNNING, ready_at=self.clock.now(), ready_ms=took_ms
                )
            words = (
                await talk(place, record) if instance.state is not InstanceState.STOPPED else Talk()
            )
            if words.bot and words.bot != record.bot:
                record = self.records.change(record, bot=words.bot)
            return Started(record, instance, price, is_new, words)

    def _wanted(self, spec: InstanceSpec, secrets: Secrets, driver: str) -> Record:
        known = self.records.find(spec.name)
        if known is None:
            generation = self.records.new_generation()
            return Record(
                spec.name, driver, replace(spec, generation=generation), COMING, self.clock.now(),
                tuple(sorted(secrets)),
            )  # fmt: skip
        if known.spec.owner != spec.owner:
            raise Conflict(
                f"{spec.name!r} is {known.spec.owner}'s instance: choose another name for {spec.owner}."
            )
        if known.driver != driver:
            raise Conflict(
                f"{spec.name!r} lives with the driver {known.driver}: choose another name, or "
                f"`swarm farm rm {spec.name}` first."
            )
        if known.state == GOING:
            raise Conflict(
                f"{spec.name!r} is being removed: `swarm farm rm {spec.name}` finishes it."
            )
        if known.state != COMING:
            return known
        missing = [name for name in known.secrets if name not in secrets]
        if missing:
            raise InvalidInput(
                f"The earlier start of {spec.name!r} did not end; give its secrets again, since only "
                f"the instance keeps them: {', '.join(missing)}."
            )
        return replace(
            known, spec=replace(spec, generation=known.generation), secrets=tuple(sorted(secrets))
        )

    async def _created(self, place: Driver, record: Record, secrets: Secrets) -> Instance:
        try:
            return await place.create(record.spec, secrets)
        except (NoPlace, PlaceBusy):
            raise  # What it has is not known: the row stays, and the same command goes on.
        except SwarmError:
            if record.state == COMING:
                await self._drop_if_gone(place, record)
            raise

    async def _drop_if_gone(self, place: Driver, record: Record) -> None:
        listing = await place.list()
        if not any(r.instance == record.name for r in listing.resources):
            self.records.drop(record.name)

    async def seen(self, name: str | None = None) -> list[Seen]:
        """Return what there is, wanted or found; places that cannot be asked say why."""
        records = self.records.all() if name is None else [self.records.get(name)]
        found: list[Seen] = []
        for driver in sorted({record.driver for record in records}):
            mine = [record for record in records if record.driver == driver]
            try:
                listing = await self._drivers(driver).list()
            except SwarmError as error:
                found += [Seen(record, None, str(error)) for record in mine]
                continue
            there = {instance.name: instance for instance in listing.instances}
            found += [Seen(record, there.pop(record.name, None)) for record in mine]
            if name is None:
                found += [Seen(None, instance) for instance in there.values()]
        return sorted(found, key=lambda s: s.record.name if s.record else _name(s.instance))

    async def start(self, name: str) -> Instance:
        """Start an instance. Raises NotFound, NotHealthy, PlaceError."""
        with self._locked(name):
            record = self.records.get(name)
            await self._drivers(record.driver).start(name)
            self.records.change(record, state=RUNNING, halted=None)
            return await self._instance(record)

    async def stop(self, name: str, *, halted: str | None = None) -> Instance:
        """Stop an instance, keeping its data; what it spent is asked before, while it can tell.

        Args:
            name: The instance.
            halted: The month whose budget is spent, where that is why.

        Raises:
            NotFound, PlaceError: It is not there, or cannot be stopped now.
        """
        with self._locked(name):
            record = self.records.get(name)
            if record.state == RUNNING:
                record = (await self._read(record)).record
            await self._drivers(record.driver).stop(name)
            self.records.change(record, state=STOPPED, halted=halted)
            return await self._instance(record)

    async def read(self, name: str) -> Read:
        """Ask a running instance what it spent this month, and keep it; what fails is said.

        Raises:
            Conflict: Another command works on it.
        """
        with self._locked(name):
            return await self._read(self.records.get(name))

    async def _read(self, record: Record) -> Read:
        place, now = self._drivers(record.driver), self.clock.now()
        asked = await ask(place, record.name, cpus=record.spec.cpus, now=now)
        if asked.reading is not None:
            record = self.records.change(record, reading=asked.reading)
        return Read(record, asked.problem)

    async def limit(self, name: str, month: Decimal | None, models: Decimal | None) -> Record:
        """Set what an instance may spend in a month, and what of it its models may.

        The models' part is told to a running instance now, and again by each `hold`, since an instance
        knows its first one by its environment.

        Raises:
            NotFound: There is no such instance.
        """
        with self._locked(name):
            record = self.records.get(name)
            told = {k: v for k, v in record.spec.environment.items() if k != BUDGET_MONTH}
            if models is not None:
                told[BUDGET_MONTH] = plain(models)
            if BUDGET_DAY in told and record.spec.budget_month is not None:
                # Made by a version that shared a month out by its days.
                told[BUDGET_DAY] = plain(models) if models is not None else "none"
            spec = replace(record.spec, budget_month=month, environment=told)
            record = self.records.change(record, spec=spec, retold=True)
            await self._retell(record)
            return record

    async def hold(self, name: str) -> None:
        """Tell an instance again what it may spend, where that was changed after its start."""
        record = self.records.get(name)
        if record.retold:
            await self._retell(record)

    async def _retell(self, record: Record) -> None:
        place = self._drivers(record.driver)
        if record.state != RUNNING or not isinstance(place, Runner):
            return
        given = record.spec.environment
        limits = {"month": given.get(BUDGET_MONTH, "none")}
        if BUDGET_DAY in given:
            limits["day"] = given[BUDGET_DAY]
        for period, amount in limits.items():
            try:
                ran = await place.run(record.name, ["swarm", "budget", period, amount, "--json"])
            except SwarmError as error:
                self.site.say(f"{record.name} could not be told its limit of the {period}: {error}")
                return
            if ran.code != 0:
                why = ran.stderr
                self.site.say(f"{record.name} could not be told its limit of the {period}: {why}")

    async def logs(self, name: str, *, lines: int) -> str:
        """Return the last lines an instance wrote. Raises NotFound, PlaceError."""
        record = self.records.get(name)
        return await self._drivers(record.driver).logs(name, lines=lines)

    async def upgrade(self, name: str, image: str, *, within_s: float) -> Instance:
        """Run another image on an instance's home, with a backup taken before.

        Raises:
            NotHealthy: The new image did not get well; the old one runs.
        """
        with self._locked(name):
            record = self.records.get(name)
            keeper = self._keeper(record, "upgrade")
            generation = self.records.new_generation()
            await self._saved(record)
            record = self.records.change(self.records.get(name), pending=image)
            try:
                instance = await keeper.upgrade(
                    name, image, generation=generation, within_s=within_s
                )
            except (NotHealthy, InvalidInput, NotFound):
                self.records.change(record, pending=None)
                raise
            spec = replace(record.spec, image=instance.image, generation=instance.generation)
            self.records.change(record, spec=spec, pending=None, state=RUNNING)
            return instance

    async def backup(self, name: str, target: Path | None = None) -> backups.Backup:
        """Write an instance's home to one file, checked. Raises NotFound, PlaceError."""
        with self._locked(name):
            return await self._saved(self.records.get(name), target)

    async def restore(self, name: str, source: Path, *, identity: Path | None) -> Restored:
        """Put a backup in place of an instance's home, after a backup of what is there.

        Raises:
            InvalidInput: The file is not whole, or cannot be opened; nothing was changed.
        """
        with self._locked(name), backups.opened(source, identity, self._folder(WORK)) as plain:
            record = self.records.get(name)
            keeper = self._keeper(record, "restore")
            self.site.say("checking the backup")
            held = backups.check(plain, source, self._folder(WORK))
            place = self._drivers(record.driver)
            instance = await self._instance(record)
            safety = None
            if instance.state is not InstanceState.BROKEN:
                safety = (await self._saved(record)).path
            self.site.say("stopping it")
            await place.stop(name)
            self.site.say("putting the backup in place")
            await keeper.load(name, plain)
            self.site.say("starting it")
            await place.start(name)
            self.records.change(self.records.get(name), state=RUNNING)
            ran = await keeper.run(name, ["swarm", "audit", "verify", "--json"])
            audit = ran.stdout.strip() or ran.stderr.strip()
            return Restored(held, await self._instance(record), safety, ran.code == 0, audit)

    async def remove(self, name: str, *, keeps_backup: bool = True) -> Path | None:
        """Remove an instance and its data; return where its backup lies.

        Raises:
            PlaceError: It cannot be backed up or removed now; said again it goes on.
        """
        with self._locked(name):
            record = self.records.get(name)
            place = self._drivers(record.driver)
            kept = None
            if keeps_backup and record.state != GOING and isinstance(place, Keeper):
                listing = await place.list()
                mine = [i for i in listing.instances if i.name == name]
                if mine and mine[0].state is not InstanceState.BROKEN:
                    kept = (await self._saved(record)).path
            record = self.records.change(self.records.get(name), state=GOING)
            self.site.say("removing it")
            await place.destroy(name)
            self.records.drop(name)
            return kept or (None if record.backup is None else Path(record.backup))

    async def reconcile(self, drivers: list[str], *, mends: bool) -> list[Finding]:
        """Hold places against the books; with `mends`, do what can be done without a person."""
        found: list[Finding] = []
        for name in drivers:
            place = self._drivers(name)
            differences = compare(
                await place.list(), await self.site.journal.entries(provider=name),
                self.records.all(), provider=name,
            )  # fmt: skip
            done = await mend(place, self.site.journal, differences) if mends else []
            found += [replace(f, is_mended=f in done) for f in differences]
        return found

    async def entries(self) -> list[Entry]:
        """Return the journal."""
        return await self.site.journal.entries()

    def kept(self, name: str) -> list[Path]:
        """Return an instance's backups, oldest first."""
        return backups.listed(self._folder(BACKUPS), name)

    async def _saved(self, record: Record, target: Path | None = None) -> backups.Backup:
        keeper = self._keeper(record, "backup")
        if self._recipient is not None:
            backups.check_recipient(self._recipient)
        path = target or backups.new_path(
            self._folder(BACKUPS),
            record.name,
            self.clock.now(),
            is_sealed=self._recipient is not None,
        )
        if path.exists():
            raise Conflict(f"There is a file {path} already: name another.")
        self.site.say("taking a backup")
        with tempfile.TemporaryDirectory(prefix="save-", dir=self._folder(WORK)) as folder:
            plain = Path(folder, "home.tar.gz")
            await keeper.save(record.name, plain)
            held = replace(
                backups.check(plain, path, self._folder(WORK)),
                is_sealed=self._recipient is not None,
            )
            backups.put(plain, path, self._recipient)
        self.records.change(record, backup=str(path))
        return held

    async def _instance(self, record: Record) -> Instance:
        listing = await self._drivers(record.driver).list()
        for instance in listing.instances:
            if instance.name == record.name:
                return instance
        raise NotFound(f"The driver {record.driver} has nothing of {record.name!r}.")

    def _keeper(self, record: Record, verb: str) -> Keeper:
        place = self._drivers(record.driver)
        if not isinstance(place, Keeper):
            raise ConfigError(f"The driver {record.driver} cannot {verb} instances.")
        return place

    def _folder(self, name: str) -> Path:
        path = self.site.folder / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold an instance's lock, which the operating system drops when its holder dies.

        Raises:
            Conflict: Another command holds it.
        """
        check_name(name)
        path = self._folder(LOCKS) / name
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(
                    f"Another command works on {name!r} now: wait for it to end."
                ) from error
            yield
        finally:
            os.close(handle)


def _metered(spec: InstanceSpec, price: Price, driver: str) -> InstanceSpec:
    """Tell an instance what its hosting costs, so that its own receipts hold it."""
    month = price.monthly
    if month is None and price.hourly is not None:
        month = price.hourly * HOURS_OF_A_MONTH
    if month is None:
        return spec
    told = {
        "PROVIDER": driver if driver in _RENTED else "own",
        "PRICE_MONTH": f"{month:.6f}",
        "CURRENCY": price.currency,
        "TAX": price.tax,
        "IS_PAID": str(price.status is CostStatus.PAID).lower(),
        "CPUS": str(spec.cpus),
        "MEMORY_GIB": str(Decimal(spec.memory_mib) / 1024),
    }
    given = {f"SWARM_HOSTING__{name}": value for name, value in told.items()}
    return replace(spec, environment={**given, **spec.environment})


def _name(instance: Instance | None) -> str:
    return "" if instance is None else instance.name
