"""Who acts next: the path of an order, and the path of one task, as LangGraph graphs.

The graphs have no checkpointer: what they know is `OrderState`, saved by the desk after each node,
and where they go next is read off that state alone. So a segment can be run again from its start,
and each call that was answered comes from the ledger.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from swarm.core.order import OrderState, TaskState, TaskStatus, Verdict


class OrderSteps(Protocol):
    """What can be done for an order; each step returns the state after it, saved."""

    async def frame(self, state: OrderState) -> OrderState:
        """Let the head understand the order."""

    async def ask(self, state: OrderState) -> OrderState:
        """Put the head's questions to the founder, or take their answers."""

    async def plan(self, state: OrderState) -> OrderState:
        """Let the head plan."""

    async def price(self, state: OrderState) -> OrderState:
        """Forecast the cost and freeze the human baseline."""

    async def sign(self, state: OrderState) -> OrderState:
        """Ask for a signature where one is due, or take it."""

    async def dispatch(self, state: OrderState) -> OrderState:
        """Let the roles work, side by side where the plan allows."""

    async def deliver(self, state: OrderState) -> OrderState:
        """Let the head write the final answer."""


class TaskSteps(Protocol):
    """What can be done for a task."""

    async def work(self, state: TaskState) -> TaskState:
        """Let the role make one attempt."""

    async def review(self, state: TaskState) -> TaskState:
        """Let somebody who is not the author judge the attempt."""


class _Order(TypedDict):
    state: OrderState


class _Task(TypedDict):
    state: TaskState


def next_step(state: OrderState) -> str:
    """Return the node that an order needs next, or END where it waits or is done."""
    if state.frame is None:
        return "frame"
    if any(q.answer is None for q in state.questions) or (
        state.frame.questions and not state.questions
    ):
        return "ask"
    if state.plan is None:
        return "plan"
    if state.baseline is None:
        return "price"
    if not state.is_signed:
        return "sign"
    if any(not t.status.is_done for t in state.tasks.values()):
        return "dispatch"
    return "deliver" if state.answer is None else END


def _after(node: str, *options: str) -> Callable[[_Order], str]:
    """Route by the state; a node that leaves the state asking for itself again waits: END."""

    def route(graph_state: _Order) -> str:
        wanted = next_step(graph_state["state"])
        return END if wanted == node or wanted not in options else wanted

    return route


async def _begin(graph_state: _Order) -> str:
    """Return where an order goes on; a plain function would be run on a thread of its own."""
    return next_step(graph_state["state"])


@dataclass(frozen=True)
class OrderContext:
    """What the nodes of an order's graph work with."""

    steps: OrderSteps


@dataclass(frozen=True)
class TaskContext:
    """What the nodes of a task's graph work with."""

    steps: TaskSteps


OrderGraph: TypeAlias = CompiledStateGraph[_Order, OrderContext, _Order, _Order]
TaskGraph: TypeAlias = CompiledStateGraph[_Task, TaskContext, _Task, _Task]

_PATHS: dict[str, tuple[str, ...]] = {
    "frame": ("ask", "plan"),
    "ask": ("plan",),
    "plan": ("price",),
    "price": ("sign", "dispatch"),
    "sign": ("plan", "dispatch"),
    "dispatch": ("deliver",),
    "deliver": (),
}


def order_graph() -> OrderGraph:
    """Build the path of an order."""
    graph = StateGraph(_Order, context_schema=OrderContext)
    for node, options in _PATHS.items():
        graph.add_node(node, _node(node, _after(node, *options)), destinations=(*options, END))
    graph.add_conditional_edges(START, _begin, {node: node for node in (*_PATHS, END)})
    return graph.compile(name="order")


def _node(name: str, after: Callable[[Any], str]) -> Any:
    """Make the node that does the step of that name, passes on the state and says who is next.

    An edge with a condition would say the same, and be one more task of the graph's at each step.
    """

    async def node(graph_state: Any, runtime: Runtime[Any]) -> Any:
        step = getattr(runtime.context.steps, name)
        changed = {"state": await step(graph_state["state"])}
        return Command(update=changed, goto=after(changed))

    node.__name__ = name
    return node


def task_graph() -> TaskGraph:
    """Build the path of one task: work, review, and rework at most twice."""
    graph = StateGraph(_Task, context_schema=TaskContext)

    graph.add_node("work", _node("work", after_work), destinations=("review", END))
    graph.add_node("review", _node("review", after_review), destinations=("work", END))
    graph.add_edge(START, "work")
    return graph.compile(name="task")


def after_work(graph_state: _Task) -> Literal["review", "__end__"]:
    """Review what came out; an attempt that waits or failed is not reviewed."""
    return "review" if graph_state["state"].status is TaskStatus.WORKING else "__end__"


def after_review(graph_state: _Task) -> Literal["work", "__end__"]:
    """Send the work back while the reviewer objects and reworks are left."""
    state = graph_state["state"]
    is_sent_back = state.review is not None and state.review.verdict is Verdict.REWORK
    return "work" if is_sent_back and state.status is TaskStatus.WORKING else "__end__"


class OrderWalk:
    """Walk an order along its graph until it waits or is done."""

    def __init__(self) -> None:
        self._graph = order_graph()

    async def run(self, state: OrderState, steps: OrderSteps) -> OrderState:
        """Return the state at the halt; errors of a step come through as they are."""
        final: OrderState = await _walked(self._graph, state, OrderContext(steps))
        return final


class TaskWalk:
    """Walk a task along its graph."""

    def __init__(self) -> None:
        self._graph = task_graph()

    async def run(self, state: TaskState, steps: TaskSteps) -> TaskState:
        """Return the state at the halt; errors of a step come through as they are."""
        final: TaskState = await _walked(self._graph, state, TaskContext(steps))
        return final


async def _walked(graph: Any, state: Any, context: OrderContext | TaskContext) -> Any:
    """Return the state after the last node.

    `ainvoke` would have each step told twice, for the sake of interrupts; we have none.
    """
    final = state
    async for values in graph.astream({"state": state}, context=context, stream_mode="values"):
        final = values["state"]
    return final


def mermaid() -> str:
    """Draw both paths as Mermaid, for the README."""
    lines = ["flowchart TD", "  founder([founder's order]) --> frame"]
    labels = {"ask": "questions", "sign": "approval", "price": "forecast + frozen baseline"}
    for node, options in _PATHS.items():
        if node in labels:
            lines.append(f'  {node}["{labels[node]}"]')
        lines.extend(f"  {node} --> {option}" for option in options)
    lines += [
        "  ask -. waits for the founder .-> ask",
        "  sign -. waits for a signature .-> sign",
        "  dispatch --> work",
        "  subgraph task [each task, side by side where the plan allows]",
        "    work --> review",
        "    review -- sent back, at most twice --> work",
        "  end",
        "  review --> dispatch",
        "  deliver --> accept([founder accepts])",
    ]
    return "\n".join(lines)
