"""Errors, one class per different reaction.

```
SwarmError
├── ConfigError       the operator acts: says where and what to do
│   └── Unavailable   the disk or the database cannot be written now; nothing was changed
├── InvalidInput      the person at the door acts: a word of the command is off
├── NotFound          the person at the door acts: no such order, question or file
├── Conflict          somebody else was first: the state is no longer what the caller saw
├── ToolError         the model acts: text it can act on
├── LimitExceeded     the order stops at a budget, a time or a count; raising the limit goes on
├── Cancelled         the order was cancelled or superseded; whoever works on it stops
└── ModelError        a model call did not give a usable answer
    ├── Transient     the worker acts: the same call may succeed later
    ├── Refused       the provider's configuration is wrong: key, rights, model name
    └── BadAnswer     the answer came (and was paid for) but cannot be used
```
A bug has no class: assert, or let it fly.
"""

from decimal import Decimal


class SwarmError(Exception):
    """Be the root: its text is one sentence for the one who can act."""


class ConfigError(SwarmError):
    """Tell the operator which setting or file is wrong and what to write instead."""


class Unavailable(ConfigError):
    """Say that nothing can be stored now: a worker waits, a door says so."""


class InvalidInput(SwarmError):
    """Tell the person at the door which word of the command or message is off."""


class NotFound(SwarmError):
    """Tell the person at the door that the thing named does not exist."""


class Conflict(SwarmError):
    """Say that the state moved on; nothing was changed."""


class ToolError(SwarmError):
    """Tell the model what was wrong with its tool call, in words it can act on."""


class LimitExceeded(SwarmError):
    """Stop an order at a limit; the order is parked, never failed."""

    def __init__(
        self, message: str, *, limit: str, value: Decimal | float | None, unit: str
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.value = value
        self.unit = unit


class Cancelled(SwarmError):
    """Stop the work: the order was cancelled, or another worker owns it now."""


class ModelError(SwarmError):
    """Say that a model call gave no usable answer; `kind` is a stable word for logs and tests."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Transient(ModelError):
    """Say that the same call may succeed later.

    `retry_after_s` is what the provider asked for in seconds, or None. `is_billed_unknown` is true
    where the request may have reached a model (a cut or stalled answer), so money may be owed.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        retry_after_s: float | None = None,
        is_billed_unknown: bool = False,
    ) -> None:
        super().__init__(message, kind=kind)
        self.retry_after_s = retry_after_s
        self.is_billed_unknown = is_billed_unknown


class Refused(ModelError):
    """Say that the provider refused the request and will refuse it again until somebody acts."""


class BadAnswer(ModelError):
    """Say that an answer came, and was charged, but cannot be used."""
