"""What an order is in a few lines: for a signature, and for the company's memory."""

from swarm.core.order import OrderState, OrderStatus, Reason
from swarm.core.text import shorten


def plan_card(state: OrderState) -> str:
    """Write what the founder is asked to sign, whole."""
    assert state.plan is not None
    assert state.frame is not None
    plan, frame = state.plan, state.frame
    lines = [f"Goal: {frame.goal}", f"Plan (revision {state.revision + 1}): {plan.approach}"]
    for task in plan.tasks:
        after = f" after {', '.join(task.depends_on)}" if task.depends_on else ""
        lines.append(f"  {task.id} {task.role}: {task.title}{after} -> {task.deliverable}")
    if state.forecast is not None:
        cost = state.forecast
        known = cost.low is not None and cost.high is not None
        span = f"{cost.low} to {cost.high} {cost.currency}" if known else "unpriced"
        lines.append(f"Model cost: {span}")
    if state.baseline is not None:
        hours = state.baseline.hours
        lines.append(f"A human team: {hours.p10} to {hours.p90} hours, most likely {hours.p50}")
    return "\n".join(lines)


def episode(state: OrderState, status: OrderStatus, reason: Reason | None) -> str:
    """Write what an order was and how it ended, for later orders."""
    goal = state.frame.goal if state.frame else shorten(state.text, 200)
    how = f": {reason.text}" if reason else ""
    said = f" The founder corrected: {'; '.join(state.corrections)}." if state.corrections else ""
    return shorten(
        f'Order "{shorten(state.text, 200)}" ({goal}) ended {status.value}{how}.{said}', 1000
    )
