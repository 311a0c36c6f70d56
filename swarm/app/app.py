"""Where concrete classes meet. Nobody else names them."""

from collections.abc import Callable

from sqlalchemy.engine import Connection

from swarm.app.locking import FileLock
from swarm.app.parts import PARTS
from swarm.app.processes import Processes
from swarm.core.errors import ConfigError
from swarm.settings import FILE, Environment, make_home
from swarm.store import companies, fresh, roles, schema
from swarm.store.database import sqlite_url

COMPANY_YAML = """\
# What this company is. Every key may also be set in the environment: SWARM_BUDGET__ORDER=5.
name: My company
currency: USD
budget:
  order: 10       # the most one order may spend on model calls
  day: 50         # all orders together, each UTC day
  sign_above: 5   # a plan that may cost more needs your signature
# llm:
#   model: anthropic/claude-sonnet-4-5   # unset: found by your keys, local servers, embedded model
"""


class App(Processes):
    """One company, opened from its home. Parts are made when they are first needed."""

    def initialise(self, *, set_up: Callable[[], None] | None = None) -> bool:
        """Create or upgrade the company; True if it is new.

        Args:
            set_up: Does what `set_up` does in another process, so that this one need not load what
                makes tables; None does it here.

        Raises:
            ConfigError: The home cannot be written, or a newer version made it.
        """
        make_home(self.home)
        with self._set_up_lock():
            if not self.store.is_sqlite:
                return self._initialise_shared()
            is_new = self._has_fresh_database() or schema.revision(self.store) is None
            if not (self.home / FILE).exists():
                (self.home / FILE).write_text(COMPANY_YAML, encoding="utf-8")
            if schema.revision(self.store) != schema.HEAD:
                (set_up or self.set_up)()
        return is_new

    def set_up(self) -> None:
        """Create or upgrade the tables of a SQLite home; for whoever holds its lock of setting up."""
        # Our revision comes last: it says that all of the set-up is done.
        self.engine.prepare()
        schema.upgrade(self.store)

    def _has_fresh_database(self) -> bool:
        """Say whether a ready-made database was put in place just now."""
        path = self.home / "swarm.db"
        return self.environment.database_url == sqlite_url(path) and fresh.place(path)

    def _initialise_shared(self) -> bool:
        """Create the company on a shared database; one that exists is left to `swarm db upgrade`."""
        if not (self.home / FILE).exists():
            (self.home / FILE).write_text(COMPANY_YAML, encoding="utf-8")
        found = schema.revision(self.owner)
        is_new = found is None or not self.owner.read(
            lambda connection: companies.is_there(connection, self.settings.company)
        )
        if is_new and found in (None, schema.HEAD):
            self.upgrade()
        schema.check(self.store)
        PARTS.load("claim home")(self.home, self.store)
        return is_new

    def upgrade(self) -> str | None:
        """Bring a shared database to this version's schema; return the revision that was found.

        Raises:
            ConfigError: It is from a newer version.
        """
        address = self.environment.database_url

        def before() -> None:
            role = self.owner.write(self._admit)
            self.engine.prepare_shared(self.owner, role=role)

        return schema.upgrade(self.owner, before=before, after=lambda c: roles.grant(c, address))

    def _admit(self, connection: Connection) -> str | None:
        """Make the role that works; refuse one that would mix companies up."""
        address = self.environment.database_url
        every = {*companies.known(connection), self.settings.company}
        roles.refuse_mixing(connection, address, every)
        return roles.make(connection, address)

    def check(self) -> None:
        """Refuse a home that is no company of this version.

        Raises:
            ConfigError: With the command that helps.
        """
        is_there = (self.home / FILE).exists() or (self.home / "swarm.db").exists()
        if self.store.is_sqlite and not is_there:
            raise ConfigError(f"There is no company in {self.home} yet: run `swarm init`.")
        schema.check(self.store)

    def _set_up_lock(self) -> FileLock:
        return FileLock(self.home / "setup.lock")


def build(environment: Environment) -> App:
    """Open the company of an environment. Reads nothing until a part is asked for."""
    return App(environment)
