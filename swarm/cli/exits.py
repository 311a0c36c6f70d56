"""Exit codes: what a program learns from how a command ended."""

from swarm.core.errors import LimitExceeded, Refused, SwarmError, Transient

DONE = 0
BUG = 1
USAGE = 2
"""The command, a setting or a file has to be mended."""
WAITING = 3
"""For a person: see `swarm inbox`."""
FAILED = 4
"""The order failed or was cancelled."""
STOPPED = 5
"""By a limit or by the model's provider."""
INTERRUPTED = 130
READER_GONE = 141
"""What a shell shows of a program whose reader hung up, as in `swarm orders | head -1`."""


def of_error(error: SwarmError) -> int:
    """Return the code for an error that ended a command."""
    if isinstance(error, Refused):
        return USAGE
    return STOPPED if isinstance(error, LimitExceeded | Transient) else USAGE
