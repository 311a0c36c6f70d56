"""Where a word came from; it travels with every message, file, memory and tool result."""

from enum import StrEnum


class Origin(StrEnum):
    """Name the source of a text. Only the founder's words are orders."""

    FOUNDER = "founder"
    TEAM = "team"
    CUSTOMER = "customer"
    WEB = "web"
    TOOL = "tool"
