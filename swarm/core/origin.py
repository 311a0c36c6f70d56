"""Where a word came from; it travels with every message, file, memory and tool result."""

from enum import StrEnum


class Origin(StrEnum):
    """Name the source of a text. Only the founder's words are orders."""

    FOUNDER = "founder"
    TEAM = "team"
    CUSTOMER = "customer"
    WEB = "web"
    TOOL = "tool"

    @property
    def is_trusted(self) -> bool:
        """True for the founder's words, and for the team's where nothing else shaped them.

        What a marked task writes is not the team's: it keeps the origin that marked the task.
        """
        return self in (Origin.FOUNDER, Origin.TEAM)
