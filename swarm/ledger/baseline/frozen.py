"""Baselines as rows: written once, before the first working step, and never edited."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import iso
from swarm.core.errors import ConfigError, InvalidInput, NotFound
from swarm.core.order import Baseline, Plan
from swarm.ledger.baseline.actuals import own_cases
from swarm.ledger.baseline.calibration import borrowed
from swarm.ledger.baseline.config import BaselineConfig
from swarm.ledger.baseline.history import History, learn
from swarm.ledger.baseline.plan import estimate
from swarm.ledger.baseline.rates import HourlyRate, rate_of
from swarm.ledger.effects import Auditor
from swarm.store.prepared import Prepared
from swarm.store.tables import baselines

FROZEN = "frozen"
"""Before the work of a plan."""
VIEW = "view"
"""Estimated again later, with what was known then; it takes the place of nothing."""


@dataclass(frozen=True, slots=True)
class StoredBaseline:
    """One row: a baseline, and whether it is still what was written."""

    order_id: str
    revision: int
    """Counts the order's rows from 0."""
    plan_revision: int
    """Which plan it estimates: how often a person had sent it back."""
    kind: str
    baseline: Baseline
    digest: str
    is_intact: bool
    """True where the text still has the digest that was stored, and audited, with it."""


class BaselineBook:
    """Estimate and freeze the baselines of one company."""

    def __init__(
        self, *, audit: Auditor | None, config: BaselineConfig, company_currency: str
    ) -> None:
        """Take where freezing is audited, and whom the work is compared with.

        Raises:
            ConfigError: The rate table has no such country or contract.
        """
        self._audit = audit
        try:
            self.rate: HourlyRate = rate_of(config, company_currency=company_currency)
        except InvalidInput as error:
            raise ConfigError(f"company.yaml: baseline.{error}") from error

    def history(self, connection: Connection) -> History:
        """Return what the company learnt from its own accepted orders."""
        return learn(own_cases(connection), borrowed().tasks)

    def estimate(
        self, plan: Plan, *, author: str, at: datetime, kind: str, history: History
    ) -> Baseline:
        """Estimate a plan with the company's rate and history; see `plan.estimate`."""
        return estimate(plan, author=author, at=at, kind=kind, rate=self.rate, history=history)

    def freeze(
        self,
        connection: Connection,
        baseline: Baseline,
        *,
        order_id: str,
        plan_revision: int,
        initiator: str | None,
        kind: str = FROZEN,
    ) -> int:
        """Write a baseline and its hash in the audit chain; return the row's number.

        On Postgres the audit chain is locked until the transaction ends: freeze last in it.
        """
        body = baseline.model_dump_json()
        digest = hashlib.sha256(body.encode()).hexdigest()
        last = _LAST.scalar(connection, {"of_order": order_id})
        number = 0 if last is None else int(last) + 1
        row = {
            "order_id": order_id,
            "revision": number,
            "plan_revision": plan_revision,
            "kind": kind,
            "author": baseline.author,
            "calibration_id": baseline.calibration_id,
            "body": body,
            "digest": digest,
            "frozen_at": iso(baseline.frozen_at) if baseline.frozen_at else "",
        }
        _INSERT.run(connection, row)
        if self._audit is not None:
            self._audit.append(
                connection,
                kind="baseline",
                order_id=order_id,
                actor=baseline.author,
                initiator=initiator,
                approver=None,
                body=_facts(baseline, kind, number, plan_revision, digest),
            )
        return number


def _facts(
    baseline: Baseline, kind: str, number: int, plan_revision: int, digest: str
) -> dict[str, Any]:
    return {
        "kind": kind,
        "revision": number,
        "plan_revision": plan_revision,
        "sha256": digest,
        "calibration_id": baseline.calibration_id,
        "hours_p50": baseline.hours.p50,
        "cost_p50": baseline.cost.p50,
        "currency": baseline.cost.currency,
    }


def stored(connection: Connection, order_id: str) -> list[StoredBaseline]:
    """Return all baselines of an order, oldest first."""
    rows = connection.execute(_OF_ORDER, {"of_order": order_id})
    return [
        StoredBaseline(
            order_id=row.order_id,
            revision=row.revision,
            plan_revision=row.plan_revision,
            kind=row.kind,
            baseline=Baseline.model_validate_json(row.body),
            digest=row.digest,
            is_intact=hashlib.sha256(row.body.encode()).hexdigest() == row.digest,
        )
        for row in rows
    ]


def in_force(rows: list[StoredBaseline]) -> StoredBaseline:
    """Return the baseline that counts: of the frozen ones the last, since its plan was worked.

    Raises:
        NotFound: The order has none yet.
    """
    frozen = [row for row in rows if row.kind == FROZEN]
    if not frozen:
        raise NotFound("The order has no baseline yet: it is frozen when the plan is made.")
    return frozen[-1]


_LAST = Prepared(
    sa.select(sa.func.max(baselines.c.revision)).where(
        baselines.c.order_id == sa.bindparam("of_order")
    )
)
_INSERT = Prepared(baselines.insert())
_OF_ORDER = (
    sa.select(baselines)
    .where(baselines.c.order_id == sa.bindparam("of_order"))
    .order_by(baselines.c.revision)
)
