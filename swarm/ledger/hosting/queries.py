"""The statements with which attribution reads the rows of usage.

All take the bounds of a piece of time: `a` and `b`, `early` (the longest row before `a`) and `late`
(the longest row before `b`).
"""

import sqlalchemy as sa

from swarm.store.prepared import Prepared
from swarm.store.tables import hosting_usage

_U = hosting_usage.c
_CPU = _U.cpu_us + _U.sandbox_cpu_us
_MEMORY = _U.memory_kib_ms + _U.sandbox_memory_kib_ms
_IS_TASK = _U.task_id.is_not(None)
_FOR_CPU = sa.cast(sa.bindparam("kept_cpu", type_=sa.Float()) * _U.elapsed_ms, sa.BigInteger())
_FOR_MEMORY = sa.bindparam("kept_memory", type_=sa.BigInteger()) * _U.elapsed_ms
_CHARGED_CPU = sa.case((_IS_TASK & (_FOR_CPU > _CPU), _FOR_CPU), else_=_CPU)
_CHARGED_MEMORY = sa.case((_IS_TASK & (_FOR_MEMORY > _MEMORY), _FOR_MEMORY), else_=_MEMORY)
_IS_ENDED = _U.ended_at <= sa.bindparam("b")
_NEAR = (_U.started_at >= sa.bindparam("early")) & (_U.started_at < sa.bindparam("b"))
_IS_ONLY = _U.order_id == sa.bindparam("only", type_=sa.String())
_WHOSE = sa.case((_U.order_id.is_(None), None), (_IS_ONLY, _U.order_id), else_="")
_TASK = sa.case((_IS_ONLY, _U.task_id), else_=None)


def _inside(*, is_one: bool, is_kept: bool) -> Prepared:
    """Sum up by task, or one order's tasks and all others; without what is kept it is quicker."""
    whose = (_WHOSE, _TASK) if is_one else (_U.order_id, _U.task_id)
    sums = [_CPU, _MEMORY, *((_CHARGED_CPU, _CHARGED_MEMORY) if is_kept else ())]
    return Prepared(
        sa.select(*whose, *map(sa.func.sum, sums))
        .where(_U.started_at >= sa.bindparam("a"), _U.started_at < sa.bindparam("b"), _IS_ENDED)
        .group_by(sa.text("1"), sa.text("2"))
        .order_by(sa.text("1"), sa.text("2"))
    )


# Written once: building a statement costs more than running it.
INSIDE = {
    (is_one, is_kept): _inside(is_one=is_one, is_kept=is_kept)
    for is_one in (False, True)
    for is_kept in (False, True)
}
ACROSS = Prepared(
    sa.select(
        _U.order_id,
        _U.task_id,
        _U.started_at,
        _U.ended_at,
        _CPU.label("cpu"),
        _MEMORY.label("memory"),
        _CHARGED_CPU.label("kept_cpu"),
        _CHARGED_MEMORY.label("kept_memory"),
    )
    .where(
        # Two short stretches of the index, before the piece and at its end.
        sa.or_(
            (_U.started_at >= sa.bindparam("early"))
            & (_U.started_at < sa.bindparam("a"))
            & (_U.ended_at > sa.bindparam("a")),
            (_U.started_at >= sa.bindparam("a"))
            & (_U.started_at >= sa.bindparam("late"))
            & (_U.started_at < sa.bindparam("b"))
            & (_U.ended_at > sa.bindparam("b")),
        )
    )
    .order_by(_U.instance, _U.seq)
)
RAN = Prepared(
    sa.select(_U.started_at, _U.ended_at)
    .where(_NEAR, _U.ended_at > sa.bindparam("a"), _U.order_id.is_(None))
    .order_by(_U.started_at)
)
"""When the company ran: an idle row's times hold the busy time too."""
