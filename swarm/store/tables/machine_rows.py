"""Workers, locks, limits, and the instances of the farm."""

from sqlalchemy import BigInteger, Column, Index, Integer, Text

from swarm.store.tables.declared import Field, SQLModel, metadata, partial_index


class LeaseRow(SQLModel, table=True):
    """Who alone may do something for now, such as polling a bot."""

    __tablename__ = "leases"

    name: str = Field(primary_key=True)
    owner: str
    until: str


class FarmInstanceRow(SQLModel, table=True):
    """One instance of the farm that this home's operator runs, as it is wanted."""

    __tablename__ = "farm_instances"

    name: str = Field(primary_key=True)
    driver: str
    owner: str
    image: str
    generation: str
    """Of the run that made what runs now, or that makes it."""
    spec: str = Field(sa_column=Column(Text, nullable=False))
    """JSON: limits, environment, budget, names of the secrets; never a secret's value."""
    state: str
    """`coming`, `running`, `stopped` or `going`: what the last command wanted, reached or not."""
    created_at: str
    updated_at: str
    ready_at: str | None = None
    """When it was healthy for the first time."""
    ready_ms: int | None = None
    """How long that took from the command on."""
    bot: str | None = None
    """Name of the bot to talk to, as the chat service says it."""
    backup: str | None = None
    """Path of the newest backup."""


class FarmJournalRow(SQLModel, table=True):
    """One thing done, or about to be done, to something that a farm driver pays for or made."""

    __tablename__ = "farm_journal"
    __table_args__ = (
        Index("ix_farm_journal_instance", "instance"),
        partial_index(
            "ux_farm_journal_open",
            "provider", "instance", "generation", "action", "kind", "name",
            unique=True,
            where="state = 'intended'",
        ),
    )  # fmt: skip

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    instance: str
    """Empty for what several instances share."""
    owner: str
    generation: str
    provider: str
    action: str
    kind: str
    name: str
    type: str | None = None
    location: str | None = None
    size_gb: str | None = None
    parent: str | None = None
    cpus: str | None = None
    memory_mib: int | None = None
    hour_pico: int | None = Field(default=None, sa_column=Column(BigInteger))
    month_pico: int | None = Field(default=None, sa_column=Column(BigInteger))
    price: str | None = Field(default=None, sa_column=Column(Text))
    """JSON of the rest of the price: currency, tax, status, source, day read, reason."""
    state: str
    """`intended`, `done` or `undone`."""
    intended_at: str
    ended_at: str | None = None
    """When it took effect in the place."""
    resource_id: str = ""
    why: str = ""


class WorkerRow(SQLModel, table=True):
    """One worker on a shared database; its row goes when it leaves, and stays when it dies."""

    __tablename__ = "workers"

    name: str = Field(primary_key=True)
    """Its executor id: unique among those who work, the same over its restarts."""
    generation: int
    """Counts the lives under this name; whoever takes a worker's orders away adds one as well."""
    tag: str
    """Names its connections on the server."""
    host: str
    pid: int
    concurrency: int
    """Orders it works at the same time."""
    version: str
    """Of the work it can do."""
    started_at: str
    seen_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    """When it last gave a sign of life, by the server's clock, in Unix milliseconds."""


class RecoveryRow(SQLModel, table=True):
    """How often the worker of a segment died since the order last got on."""

    __tablename__ = "recoveries"

    order_id: str = Field(primary_key=True)
    segment: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    deaths: int
    progress: int
    """Calls and effects on the order's books at the last recovery."""
    counted_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class ReaperActionRow(SQLModel, table=True):
    """How often something was done for workers that died, over the company's life."""

    __tablename__ = "reaper_actions"

    action: str = Field(primary_key=True)
    count: int


class RateGateRow(SQLModel, table=True):
    """When the last calls of a provider began, or will: all workers together keep its limit."""

    __tablename__ = "rate_gates"

    name: str = Field(primary_key=True)
    begins: str = Field(sa_column=Column(Text, nullable=False))
    """JSON list of Unix milliseconds, oldest first."""


class MetaRow(SQLModel, table=True):
    """Facts about the company's database itself."""

    __tablename__ = "meta"

    key: str = Field(primary_key=True)
    value: str


leases = metadata.tables["leases"]
farm_instances = metadata.tables["farm_instances"]
farm_journal = metadata.tables["farm_journal"]
workers = metadata.tables["workers"]
recoveries = metadata.tables["recoveries"]
reaper_actions = metadata.tables["reaper_actions"]
rate_gates = metadata.tables["rate_gates"]
meta = metadata.tables["meta"]
