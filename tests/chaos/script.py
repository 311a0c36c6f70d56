"""A company whose every answer carries the key of what was asked, so that a mixed one shows.

An order's text starts with a key, `KEY-0007`. Its plan gives each task a key of its own,
`KEY-0007/t1`, and every answer, file and summary repeats the key of its request. A request that
holds a foreign key is kept in `mixed`.
"""

import asyncio
import random
import re
import time
from collections.abc import Callable
from typing import Any

from tests.servers.replies import Body, Reply, completion

KEY = re.compile(r"KEY-\w+")
TASK_KEY = re.compile(r"KEY-\w+/t\d+")
REMEMBERED = "## What the company remembers"
"""Below it other orders may be told of, with their keys."""

TASKS = (("cto", ()), ("marketcom", ()), ("cto", (1, 2)))
"""Role and needs of each task: two side by side, then one that needs both."""
CALLS = 15
"""Requests of one undisturbed order: frame, plan, delivery; three a task; a rework of the second."""


class KeyedCompany:
    """Frames, plans, works, sends one task back, accepts, delivers; each answer after a pause.

    `count` requests have arrived so far; `arrival` waits for one.
    """

    def __init__(self, pause_s: Callable[[], float]) -> None:
        self.mixed: list[str] = []
        self.count = 0
        self._pause_s = pause_s
        self._last_due = 0.0
        self._arrived = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    @property
    def is_asked(self) -> bool:
        """True while a request waits for its answer."""
        return time.monotonic() < self._last_due

    async def arrival(self, number: int) -> None:
        """Wait until `number` requests have arrived since the start."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.count >= number)

    def __call__(self, request: Body) -> Reply:
        pause_s = self._pause_s()
        self._last_due = max(self._last_due, time.monotonic() + pause_s)
        self.count += 1
        task = asyncio.get_running_loop().create_task(self._wake())
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)
        return Reply(self._answer(request), delay_s=pause_s)

    async def _wake(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()

    def _answer(self, request: Body) -> Body:
        asked = _asked(request)
        keys = set(KEY.findall(asked))
        if len(keys) != 1:
            self.mixed.append(f"{sorted(keys)} in one request: {asked[:500]}")
        key = min(keys, default="KEY-none")
        shape = request.get("response_format")
        if shape is None:
            return _reply(request, **self._worked(request, asked))
        name = shape["json_schema"]["name"]
        return _reply(request, document=self._decision(name, key, asked))

    def _decision(self, name: str, key: str, asked: str) -> dict[str, Any]:
        if name == "frame":
            return _frame(key)
        if name == "plan":
            return _plan(key)
        if name == "delivery":
            return {"answer": f"{key} is done.", "lessons": []}
        assert name == "review", name
        task = self._task(asked)
        if task.endswith("/t2") and "attempt 2" not in asked:
            return {"verdict": "rework", "reasons": [f"{task} misses the second part."]}
        return {"verdict": "accept", "reasons": [f"{task} is as ordered."]}

    def _worked(self, request: Body, asked: str) -> dict[str, Any]:
        task = self._task(asked.partition("## Results of earlier tasks")[0])
        attempt = 2 if "Your last attempt was sent back" in asked else 1
        if any(message["role"] == "tool" for message in request["messages"]):
            return {"text": f"{task} is done, attempt {attempt}."}
        path = f"{task.partition('/')[2]}.md"
        content = f"{task}, attempt {attempt}\n" * 20
        return {
            "tool_calls": [
                ("write_file", {"path": path, "content": content}),
                ("deliver", {"path": path, "summary": f"{task}, attempt {attempt}"}),
            ]
        }

    def _task(self, asked: str) -> str:
        keys = set(TASK_KEY.findall(asked))
        if len(keys) != 1:
            self.mixed.append(f"{sorted(keys)} in the request of one task: {asked[:500]}")
        return min(keys, default="KEY-none/t0")


def jitter(rng: random.Random, low_s: float, high_s: float) -> Callable[[], float]:
    """Return a source of pauses."""
    return lambda: rng.uniform(low_s, high_s)


def _asked(request: Body) -> str:
    texts = []
    for message in request["messages"]:
        if message["role"] == "system":
            continue
        calls = [call["function"]["arguments"] for call in message.get("tool_calls") or []]
        content = str(message.get("content") or "").partition(REMEMBERED)[0]
        texts.append("\n".join([content, *calls]))
    return "\n".join(texts)


def _frame(key: str) -> dict[str, Any]:
    return {
        "goal": f"{key} is wanted.",
        "success_criteria": [f"{key} is written down."],
        "language": "en",
        "kind": "writing",
        "questions": [],
    }


def _plan(key: str) -> dict[str, Any]:
    tasks = [
        {
            "title": f"Do {key}/t{number}",
            "role": role,
            "brief": f"Write {key}/t{number} down.",
            "depends_on": list(needs),
            "deliverable": f"t{number}.md",
            "human_hours": 2,
        }
        for number, (role, needs) in enumerate(TASKS, start=1)
    ]
    return {"approach": f"{key} in three parts.", "tasks": tasks}


def _reply(request: Body, **parts: Any) -> Body:
    # The same request always costs the same.
    usage = {"prompt_tokens": 500, "completion_tokens": 100, "total_tokens": 600}
    return completion(usage=usage, model=str(request["model"]), **parts)
