"""The tables. They hold what was said, decided, charged and delivered; nothing is validated here.

Times are UTC ISO-8601 texts (`core.clock.iso`), which sort as times do on every database. Amounts
are whole 1e-12 parts of their currency (`core.money.to_pico`), so that a database can add them
exactly.
"""

from swarm.store.tables.book_rows import (
    actuals,
    baselines,
    budgets,
    founder_actions,
    founder_corrections,
    hosting_events,
    hosting_usage,
    ledger,
)
from swarm.store.tables.declared import metadata
from swarm.store.tables.machine_rows import (
    farm_instances,
    farm_journal,
    leases,
    meta,
    rate_gates,
    reaper_actions,
    recoveries,
    workers,
)
from swarm.store.tables.memory_rows import memories, memory_vectors
from swarm.store.tables.order_rows import (
    approvals,
    artifacts,
    asks,
    audit,
    audit_heads,
    effects,
    labels,
    orders,
    standing_rules,
    tasks,
)
from swarm.store.tables.talk_rows import (
    buttons,
    channel_health,
    customer_turns,
    dialogues,
    handovers,
    inbox,
    order_notes,
    outbox,
    pairings,
    people,
    quiet_hours,
    sent_messages,
    topics,
)

__all__ = [
    "actuals",
    "approvals",
    "artifacts",
    "asks",
    "audit",
    "audit_heads",
    "baselines",
    "budgets",
    "buttons",
    "channel_health",
    "customer_turns",
    "dialogues",
    "effects",
    "farm_instances",
    "farm_journal",
    "founder_actions",
    "founder_corrections",
    "handovers",
    "hosting_events",
    "hosting_usage",
    "inbox",
    "labels",
    "leases",
    "ledger",
    "memories",
    "memory_vectors",
    "meta",
    "metadata",
    "order_notes",
    "orders",
    "outbox",
    "pairings",
    "people",
    "quiet_hours",
    "rate_gates",
    "reaper_actions",
    "recoveries",
    "sent_messages",
    "standing_rules",
    "tasks",
    "topics",
    "workers",
]
