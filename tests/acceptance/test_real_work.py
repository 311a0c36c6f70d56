"""Roles do real work: files are built, tests run in the sandbox, a failure is mended, copy is written."""

import hashlib
import json
from typing import Any

import pytest

from swarm.core.order import OrderStatus, TaskStatus
from swarm.sandbox.choose import choose
from tests.acceptance.at_work import called, first, kind_of, prompt_of, results, role_of, script
from tests.acceptance.conftest import Open
from tests.servers.company import PlannedTask
from tests.servers.replies import Body, completion

ORDER = (
    "Build a small command-line tool that counts the words of a file, with tests, and a landing "
    "page for it."
)
BROKEN = "def count(text):\n    return len(text.split(' '))\n"
MENDED = "len(text.split())"
TOOL = (
    BROKEN
    + '\n\nif __name__ == "__main__":\n    import sys\n\n    print(count(open(sys.argv[1]).read()))\n'
)
TESTS = """\
import unittest

from tally import count


class Count(unittest.TestCase):
    def test_words_between_any_spaces(self):
        self.assertEqual(count("two  words\\n"), 2)

    def test_nothing_has_no_words(self):
        self.assertEqual(count(""), 0)


if __name__ == "__main__":
    unittest.main()
"""
COUNT = 'import sys; sys.path.insert(0, ""); from tally import count; print(count("one two"))'
README = "# tally\n\nRun `python3 tally.py FILE`.\n"
USAGE = "\nCounts the words of a file, checked with `python3 test_tally.py`.\n"
PLAN = (
    PlannedTask("Build tally", "cto", "Build tally.py with tests and a README.", "tally.py"),
    PlannedTask("Landing page", "marketcom", "Write page.html from the README.", "page.html", (0,)),
)


def build(request: Body) -> Body | None:
    """Play the engineer: write, run, read the failure, mend it, run again, deliver."""
    told = results(request)
    if "Your last attempt was sent back" in prompt_of(request):
        return rework(request)
    fixed: list[tuple[str, dict[str, Any]]] = [
        ("write_file", {"path": "tally.py", "content": TOOL}),
        ("write_file", {"path": "test_tally.py", "content": TESTS}),
        ("shell", {"command": ["python3", "test_tally.py"]}),
    ]
    if len(told) < len(fixed):
        return act(*fixed[len(told)])
    if len(told) == len(fixed):
        if "FAILED (failures=2)" not in told[-1]:
            return completion(text=f"The tests did not fail as they should: {told[-1]}")
        old = "len(text.split(' '))"
        return act("edit_file", {"path": "tally.py", "old_text": old, "new_text": MENDED})
    rest: list[tuple[str, dict[str, Any]]] = [
        ("shell", {"command": ["python3", "test_tally.py", "-v"]}),
        ("python", {"script": COUNT}),
        ("write_file", {"path": "README.md", "content": README}),
        *(("deliver", {"path": path, "summary": "Part of tally."})
          for path in ("tally.py", "test_tally.py", "README.md")),
    ]  # fmt: skip
    step = len(told) - len(fixed) - 1
    if step == 1 and "OK" not in told[-1]:
        return completion(text=f"The tests still fail: {told[-1]}")
    if step == 2 and "2" not in told[-1]:
        return completion(text=f"The tool does not count: {told[-1]}")
    return act(*rest[step]) if step < len(rest) else completion(text="tally works; tests pass.")


def rework(request: Body) -> Body:
    steps: list[tuple[str, dict[str, Any]]] = [
        ("read_file", {"path": "README.md"}),
        ("write_file", {"path": "README.md", "content": README + USAGE}),
        ("deliver", {"path": "README.md", "summary": "Now says how it is checked."}),
    ]
    done = len(results(request))
    return act(*steps[done]) if done < len(steps) else completion(text="The README says it now.")


def advertise(request: Body) -> Body | None:
    """Play the writer: the page quotes what the README really says."""
    told = results(request)
    if not told:
        return act("read_file", {"path": "README.md"})
    if len(told) == 1:
        page = f"<h1>tally</h1><p>{told[0].splitlines()[-1]}</p>"
        return act("write_file", {"path": "page.html", "content": page})
    if len(told) == 2:
        return act("deliver", {"path": "page.html", "summary": "The landing page."})
    return completion(text="The page is written.")


def act(name: str, arguments: dict[str, Any]) -> Body:
    return completion(tool_calls=[(name, arguments)], model="gpt-4o-mini")


def play(request: Body) -> Body | None:
    if kind_of(request) != "work":
        return None
    return {"cto": build, "marketcom": advertise}.get(role_of(request), lambda _: None)(request)


async def test_a_tool_is_built_tested_mended_and_advertised(opened: Open) -> None:
    choice = await choose()
    if choice.sandbox is None:
        pytest.skip(choice.detail)
    async with opened(first(play, script(PLAN, verdicts=["rework"]))) as company:
        done = await company.deliver(ORDER)
        runs = [json.loads(r["result"]) for r in company.effects(done.id) if r["tool"] == "shell"]
        workspace = company.app.home / "workspace" / done.id
    assert done.plan is not None
    assert [t.status for t in done.plan.tasks] == [TaskStatus.ACCEPTED] * 2
    assert [t.attempts for t in done.plan.tasks] == [2, 1]
    assert "FAILED (failures=2)" in runs[0]["content"]
    files = {a.path: a for a in done.artifacts}
    assert set(files) == {"tally.py", "test_tally.py", "README.md", "page.html"}
    for path, artifact in files.items():
        data = (workspace / path).read_bytes()
        assert artifact.sha256 == hashlib.sha256(data).hexdigest()
        assert artifact.bytes == len(data)
    assert MENDED in (workspace / "tally.py").read_text()
    assert "Counts the words of a file," in (workspace / "page.html").read_text()


async def test_the_work_of_a_machine_without_a_sandbox_is_told_that_nothing_was_run(
    opened: Open,
) -> None:
    async with opened(first(play, script(PLAN))) as company:
        kit = company.app.company.kit

        async def none() -> None:
            return None

        object.__setattr__(kit, "choose_sandbox", none)
        done = await company.work(ORDER)
        told = [text for body in company.asked("work") for text in results(body)]
    assert done.status is OrderStatus.DELIVERED
    assert any("commands are off on this machine" in text for text in told)


async def test_each_call_has_a_row_with_the_rule_that_let_it_happen(opened: Open) -> None:
    async with opened(first(play, script(PLAN))) as company:
        done = await company.work(ORDER)
        made = {(c, len(results(b))) for b in company.asked("work") for c in called(b)}
        rows = company.effects(done.id)
    assert len(rows) >= len({name for name, _ in made})
    assert all(row["decision"] and row["rule"] and row["state"] == "done" for row in rows)


async def test_a_model_that_loops_for_ever_ends_within_its_steps_and_its_budget(
    opened: Open,
) -> None:
    def loop(request: Body) -> Body | None:
        if kind_of(request) != "work":
            return None
        # Never the same call twice, so that only the count of steps can end it.
        return act("search_files", {"regex": f"nothing-{len(results(request))}"})

    async with opened(first(loop, script(PLAN[:1]))) as company:
        ended = await company.work(ORDER, budget="0.50")
        asked = company.asked("work")
    assert ended.status is OrderStatus.PARKED
    assert ended.reason is not None
    assert "25 steps" in ended.reason.text
    assert len(asked) == 25
    assert ended.receipt.model_cost.amount < 0.5


async def test_a_model_that_says_the_same_for_ever_is_stopped_at_the_third_time(
    opened: Open,
) -> None:
    def loop(request: Body) -> Body | None:
        return act("list_files", {}) if kind_of(request) == "work" else None

    async with opened(first(loop, script(PLAN[:1]))) as company:
        ended = await company.work(ORDER)
        asked = company.asked("work")
    assert ended.status is OrderStatus.FAILED
    assert len(asked) == 3
