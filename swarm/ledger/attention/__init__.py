"""The founder's time: what people did, what lies between, and what they say about it.

`actions` is the log that is only added to; `gaps` turns it into minutes by one printed rule;
`corrections` are the founder's own words on them, rows too; `spent` adds up per order and per week.
To count another kind of action, name it in `ActionKind` and note it in the transaction that does it.
"""

from swarm.ledger.attention.actions import (
    Action,
    ActionKind,
    note_act,
    note_result,
    note_shown,
    result_seen_at,
)
from swarm.ledger.attention.gaps import FounderTimeConfig, Gap, gaps, rule
from swarm.ledger.attention.spent import (
    FounderTime,
    FounderWeek,
    Minutes,
    founder_time,
    founder_times,
    founder_week,
    minutes_between,
    minutes_of,
)

__all__ = [
    "Action",
    "ActionKind",
    "FounderTime",
    "FounderTimeConfig",
    "FounderWeek",
    "Gap",
    "Minutes",
    "founder_time",
    "founder_times",
    "founder_week",
    "gaps",
    "minutes_between",
    "minutes_of",
    "note_act",
    "note_result",
    "note_shown",
    "result_seen_at",
    "rule",
]
