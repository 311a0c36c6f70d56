"""What a look at a channel's set-up finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that was looked at; without a remedy it is as it should be."""

    text: str
    remedy: str = ""
    is_fatal: bool = False
