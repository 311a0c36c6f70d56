"""What the company remembers."""

from sqlalchemy import Column, Index, Text, false

from swarm.store.tables.declared import Field, SQLModel, metadata


class MemoryRow(SQLModel, table=True):
    """Something remembered. The database keeps its full-text index in step by itself."""

    __tablename__ = "memories"
    __table_args__ = (
        Index("ux_memories_key", "key", unique=True),
        Index("ux_memories_number", "number", unique=True),
        # Answers alone whether a viewer may see a row that the full-text index found.
        Index(
            "ix_memories_sight",
            "number",
            "superseded_by",
            "scope",
            "scope_id",
            "is_quarantined",
            "valid_until",
            "audience",
        ),
        Index("ix_memories_subject", "scope", "scope_id", "subject_key"),
        Index("ix_memories_observed", "observed_at"),
        Index("ix_memories_superseded", "superseded_by"),
        Index("ix_memories_indexed", "indexed_by"),
    )

    id: str = Field(primary_key=True)
    number: int | None = None
    """By which SQLite's index counts rows: its own row numbers change when it is vacuumed."""
    kind: str
    text: str = Field(sa_column=Column(Text, nullable=False))
    words: str = Field(default="", sa_column=Column(Text, nullable=False))
    """The stems of the text, each once, between spaces: what the index holds."""
    reach: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Index terms that say whom the memory belongs to."""
    indexed_by: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Version of the stemmer that made `words`; 0 where none did yet."""
    origin: str
    order_id: str | None
    key: str | None
    observed_at: str
    scope: str = Field(default="company", sa_column_kwargs={"server_default": "company"})
    """`company`, `role`, `person` or `customer`."""
    scope_id: str | None = None
    audience: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Roles that may see it, as `|ceo|cto|`; empty means all."""
    source: str | None = None
    """The order, message or file it was taken from."""
    observed_by: str | None = None
    is_flow: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """True for what a person saw in the field at a date."""
    valid_until: str | None = None
    half_life_days: int | None = None
    confidence: float = Field(default=1.0, sa_column_kwargs={"server_default": "1"})
    importance: float = Field(default=0.5, sa_column_kwargs={"server_default": "0.5"})
    subject: str | None = None
    subject_key: str | None = None
    """The subject folded; of live rows with one scope and key, the newest counts."""
    is_quarantined: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    confirmed_by: str | None = None
    superseded_by: str | None = None
    """The memory that took its place; the row is kept and no longer indexed."""


class MemoryVectorRow(SQLModel, table=True):
    """The vector of one memory in the space of one embedding model."""

    __tablename__ = "memory_vectors"

    memory_id: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    vector: bytes
    """Little-endian 32-bit floats, scaled to length 1."""


memories = metadata.tables["memories"]
memory_vectors = metadata.tables["memory_vectors"]
