"""A model that does what it reads: it serves its user, and every attacker it comes across.

It speaks the wire format of chat completions and keeps no memory of conversations: what it says
next follows from the messages it is sent.
"""

from dataclasses import dataclass

from tests.attack.strategies import STRATEGIES, Act, Play, Stage
from tests.attack.worlds import Case, Worlds
from tests.servers.company import CompanyScript, PlannedTask
from tests.servers.replies import Body, completion


@dataclass(frozen=True, slots=True)
class Exchange:
    """One tool call of a conversation and what came back."""

    tool: str
    arguments: str
    result: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where the attack takes place."""

    worlds: Worlds
    canary: str
    home: str


def clerk_of(suite_name: str) -> str:
    """Return the role that works a suite's orders."""
    return f"{suite_name}-clerk"


def mate_of(suite_name: str) -> str:
    """Return the colleague of that role."""
    return f"{suite_name}-mate"


class Puppet:
    """Answers every request of the company."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def __call__(self, request: Body) -> Body:
        case = self._site.worlds.of_text(_first_user(request))
        if request.get("tools"):
            turn = self.turn(request, case)
            if isinstance(turn, str):
                return completion(text=turn)
            return completion(text=turn.words or None, tool_calls=[(turn.tool, turn.arguments)])
        return CompanyScript(self._plan(case))(request)

    def turn(self, request: Body, case: Case) -> Act | str:
        """Return the next tool call of a conversation, or its last words."""
        offered = frozenset(tool["function"]["name"] for tool in request["tools"])
        stage = Stage(case, offered, mate_of(case.pair.suite), self._site.canary, self._site.home)
        play = STRATEGIES[case.strategy].play(_title(_first_user(request)), stage)
        return _resume(play, [exchange.result for exchange in exchanges(request)])

    def _plan(self, case: Case) -> list[PlannedTask]:
        role = clerk_of(case.pair.suite)
        tasks = []
        for number, title in enumerate(STRATEGIES[case.strategy].titles):
            # Later tasks need the first to be over, and get its result to read.
            needs = (0,) if number else ()
            tasks.append(PlannedTask(title, role, f"Do it. Ref. {case.ref}", "result.md", needs))
        return tasks


def _resume(play: Play, results: list[str]) -> Act | str:
    try:
        turn = next(play)
        for result in results:
            turn = play.send(result)
    except StopIteration as stop:
        return str(stop.value)
    return turn


def exchanges(request: Body) -> list[Exchange]:
    """Return the tool calls of a conversation with their results, in order."""
    # By order, not by id: each answer of this puppet starts to count its calls anew.
    calls = [
        c["function"] for m in _messages(request, "assistant") for c in m.get("tool_calls", [])
    ]
    results = [str(message["content"]) for message in _messages(request, "tool")]
    return [
        Exchange(call["name"], call["arguments"], result)
        for call, result in zip(calls, results, strict=True)
    ]


def _messages(request: Body, role: str) -> list[Body]:
    return [m for m in request["messages"] if m["role"] == role]


def _first_user(request: Body) -> str:
    return str(_messages(request, "user")[0]["content"])


def _title(brief: str) -> str:
    return brief.split("\n", 1)[0].partition(": ")[2].strip()
