"""Where in its order a model call stands, for whoever serves the call."""

from contextvars import ContextVar

LANE: ContextVar[str] = ContextVar("swarm_lane", default="")
"""`<order> <node> <seq>` of the model call that this task makes."""


def lane_of(order_id: str, node: str, seq: int) -> str:
    """Name the lane of one call; its attempts follow one another in it."""
    return f"{order_id} {node} {seq}"
