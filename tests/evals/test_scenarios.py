"""Scenarios are read, authored, run, and graded; bad ones are refused with file, line and remedy."""

import copy
import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import InvalidInput
from swarm.evals.authored import Turn
from swarm.evals.cassette import Cassette, read, write
from swarm.evals.commands import sandbox_here
from swarm.evals.diffing import Difference, compare, lines_of
from swarm.evals.house import House
from swarm.evals.performing import Performance
from swarm.evals.results import as_document, pass_hat_k, scenario_result
from swarm.evals.runner import author, authored_cassette, evidence_of, read_case, run_case
from swarm.evals.scenario import OrderScript, find, load
from swarm.evals.sockets import no_sockets

PACKS = Path(__file__).parents[1] / "scenarios"
CASES = find([PACKS])
# Read once: every process of a run collects this module, and each reading takes seconds together.
READ = {path: load(path) for path in CASES}
AUTHORED = [
    path
    for path, scenario in READ.items()
    if scenario.is_replayable and all(o.cassette and o.answers for o in scenario.orders)
]

SMALL: dict[str, Any] = {
    "name": "A line",
    "author": "ada",
    "orders": [
        {
            "text": "Write one line that says we open at seven.",
            "cassette": "line.jsonl",
            "answers": {
                "frame": [
                    {
                        "document": {
                            "goal": "One line.",
                            "success_criteria": ["It says seven."],
                            "language": "en",
                            "kind": "writing",
                            "questions": [],
                        }
                    }
                ],
                "plan": [
                    {
                        "document": {
                            "approach": "One task.",
                            "tasks": [
                                {
                                    "title": "Write it",
                                    "role": "marketcom",
                                    "brief": "Write it.",
                                    "depends_on": [],
                                    "deliverable": "line.md",
                                    "human_hours": 0.5,
                                    "kind": "writing",
                                }
                            ],
                        }
                    }
                ],
                "t1 work": [{"say": "We open at seven."}],
                "t1 review": [{"document": {"verdict": "accept", "reasons": []}}],
                "deliver": [{"document": {"answer": "The line is done.", "lessons": []}}],
            },
        }
    ],
    "checks": [{"status": "delivered"}],
}


def written(folder: Path, document: Any = None, **changes: Any) -> Path:
    path = folder / "line.yaml"
    whole = copy.deepcopy(SMALL if document is None else document) | changes
    path.write_text(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


BOOK = re.compile(r"\bswarm-\d{4}-\d\d-\d\d-[0-9a-f]{8}:")


def essence(cassette: Cassette) -> list[dict[str, Any]]:
    """Return what a cassette says, without its random salt and what hangs on it.

    The digest in the name of the price book is left out too: a line that is added to the book is no
    reason to write every recording anew. The lines that priced a call, and the prices, do count.
    """
    without = ("key", "ledger_sha256")
    entries = [{k: v for k, v in e.items() if k not in without} for e in cassette.entries]
    found: list[dict[str, Any]] = json.loads(BOOK.sub("book:", json.dumps(entries)))
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_scenario_that_ships_is_read(path: Path) -> None:
    case = read_case(path)
    assert case.scenario.about
    assert case.checks


def test_the_packs_are_five_and_hold_what_was_promised() -> None:
    packs = {path.parent.name for path in CASES}
    assert packs >= {"founding", "money", "faults", "safety", "operations"}
    assert len(CASES) >= 25
    assert len(AUTHORED) >= 15


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", AUTHORED, ids=lambda p: p.stem)
def test_a_cassette_that_ships_is_what_its_authored_answers_give(path: Path) -> None:
    scenario = load(path)
    shipped = read(path.parent / str(scenario.orders[0].cassette))
    assert shipped.manifest.provenance.kind == "authored"
    assert essence(authored_cassette(scenario, path)) == essence(shipped)


def test_one_cassette_that_ships_is_what_its_authored_answers_give() -> None:
    path = PACKS / "safety" / "a-model-that-obeys.yaml"
    scenario = load(path)
    shipped = read(path.parent / str(scenario.orders[0].cassette))
    assert shipped.manifest.provenance.kind == "authored"
    assert essence(authored_cassette(scenario, path)) == essence(shipped)


def test_an_authored_scenario_is_replayed_from_the_cassette_it_gives(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(InvalidInput, match="--author"):
        read_case(path)
    assert author(path) == [tmp_path / "line.jsonl"]
    result = run_case(path, 1)
    assert (result.mode, result.passed, result.drift) == ("replay", True, [])
    assert result.provenance == ["authored"]
    assert result.costs[0]["currency"] == "USD"
    assert [s["place"] for s in result.steps] == [
        "frame",
        "plan",
        "t1 work",
        "t1 review",
        "deliver",
    ]


def test_a_changed_role_is_drift_and_fails_the_scenario(tmp_path: Path) -> None:
    path = written(tmp_path)
    author(path)
    from swarm.org.loader import builtin_roles

    text = (builtin_roles() / "marketcom.md").read_text(encoding="utf-8")
    changed = text.replace("stranger", "visitor", 1)
    written(tmp_path, company={"roles": {"marketcom": changed}})
    result = run_case(path, 1)
    assert not result.passed
    assert any("stranger" in line and "visitor" in line for line in result.drift)


def test_answers_that_are_missing_or_left_over_fail_a_performance(tmp_path: Path) -> None:
    document = copy.deepcopy(SMALL)
    order = document["orders"][0]
    del order["cassette"]
    order["answers"]["t1 review"] = []
    order["answers"]["t2 work"] = [{"say": "Nobody asks for this."}]
    result = run_case(written(tmp_path, document), 1)
    assert not result.passed
    assert any("t1 review: no answer left" in line for line in result.drift)
    assert any(line.endswith("left over: o2222223 t2 work") for line in result.drift)


def test_an_answer_left_over_fails_a_run_whose_checks_all_hold(tmp_path: Path) -> None:
    document = copy.deepcopy(SMALL)
    del document["orders"][0]["cassette"]
    document["orders"][0]["answers"]["t2 work"] = [{"say": "Nobody asks for this."}]
    result = run_case(written(tmp_path, document), 1)
    assert all(check.holds for check in result.checks)
    assert not result.passed


def test_an_unknown_cost_meets_no_limit(tmp_path: Path) -> None:
    document = copy.deepcopy(SMALL)
    del document["orders"][0]["cassette"]
    document["orders"][0]["answers"]["t1 work"][0]["usage"] = "none"
    result = run_case(written(tmp_path, document, checks=[{"cost": {"at_most": 5}}]), 1)
    (check,) = result.checks
    assert not check.holds
    assert "unpriced: not known to be at most 5" in check.detail


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nmae": "x"}, "there is no key 'nmae'; did you mean 'name'?"),
        ({"orders": []}, "orders: "),
        ({"orders": [{"text": "x"}]}, "nobody answers: give `cassette`, or `answers`"),
        ({"checks": [{"statsu": "delivered"}]}, "no scorer 'statsu'; did you mean 'status'?"),
        ({"checks": [{"status": "done"}]}, "status"),
        ({"checks": [{"artifact": {"path": "a", "contain": "x"}}]}, "did you mean 'contains'?"),
        ({"checks": [{"answer": {"matches": "("}}]}, "no regular expression"),
        ({"thresholds": {"pass_at_1": 2}}, "thresholds.pass_at_1"),
    ],
)
def test_a_fault_names_file_line_and_remedy(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, **change)
    (tmp_path / "line.jsonl").write_text("not looked at", encoding="utf-8")
    with pytest.raises(InvalidInput) as refused:
        read_case(path)
    text = str(refused.value)
    assert text.startswith(f"{path}:")
    assert text.removeprefix(f"{path}:").split(":")[0].isdigit()
    assert said in text


@pytest.mark.parametrize(
    "text",
    ["a: [1", "- x", "7", "", "a: &a [1]\nb: *a", "\x00", "name: x\norders: 5\nchecks: 1"],
)
def test_what_is_no_scenario_is_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput) as refused:
        load(path)
    assert str(refused.value).startswith(str(path))


@given(text=st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_scenario_or_refused(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidInput):
        load(path)


@pytest.mark.parametrize("name", ["../out.jsonl", "/etc/passwd", "a\\b", ""])
def test_a_cassette_outside_of_the_pack_is_refused(name: str, tmp_path: Path) -> None:
    document = copy.deepcopy(SMALL)
    document["orders"][0]["cassette"] = name
    with pytest.raises(InvalidInput, match=r"without `\.\.`|nobody answers"):
        load(written(tmp_path, document))


def test_pass_hat_k_is_the_chance_that_all_of_k_drawn_runs_pass() -> None:
    assert pass_hat_k(4, 4, 4) == 1
    assert pass_hat_k(4, 3, 4) == 0
    assert pass_hat_k(4, 3, 1) == 0.75
    assert pass_hat_k(4, 2, 2) == pytest.approx(1 / 6)
    assert pass_hat_k(2, 1, 3) == 0


def test_two_evaluations_differ_first_where_the_answer_did(tmp_path: Path) -> None:
    document = copy.deepcopy(SMALL)
    del document["orders"][0]["cassette"]
    checks = [
        {"status": "delivered"},
        {"artifact": {"path": "t1-write-it.md", "contains": "seven"}},
    ]
    documents = []
    for words in ("We open at seven.", "We open at eight."):
        document["orders"][0]["answers"]["t1 work"] = [{"say": words}]
        path = written(tmp_path, document, checks=checks)
        result = scenario_result(load(path), [run_case(path, 1)], pack="p", path=str(path))
        documents.append(
            json.loads(json.dumps(as_document([result], wall_s=1.0, version="0"), default=vars))
        )
    (found,) = compare(*documents)
    assert found.verdict == "worse"
    assert found.lost_checks == ["artifact: path t1-write-it.md, contains seven"]
    assert found.first_step is not None
    assert (found.first_step["place"], found.first_step["who"]) == ("t1 work", "marketcom")
    assert found.first_step["before"]["text"] == "We open at seven."
    (same,) = compare(documents[0], documents[0])
    assert same.verdict == "same"


def test_a_threshold_that_is_not_met_is_a_breach(tmp_path: Path) -> None:
    document = copy.deepcopy(SMALL)
    del document["orders"][0]["cassette"]
    path = written(tmp_path, document, thresholds={"cost": 0.000001})
    result = scenario_result(load(path), [run_case(path, 1)], pack="p", path=str(path))
    assert not result.is_green
    assert [breach.threshold for breach in result.breaches] == ["cost"]


def spoilt(script: OrderScript, what: str) -> OrderScript:
    """Return an order whose deliverables, or whose last words, say nothing.

    Nobody deploys meanwhile: a house has one engine, and words are what this is about.
    """

    def say_nothing(turn: Turn) -> Turn:
        if what == "file" and turn.call == "write_file":
            return turn.model_copy(update={"using": {**turn.using, "content": "Nothing.\n"}})
        if what == "answer" and turn.document and "answer" in turn.document:
            document = {**turn.document, "answer": "Nothing."}
            return turn.model_copy(update={"document": document})
        return turn

    turns = {place: tuple(map(say_nothing, said)) for place, said in script.answers.items()}
    if turns == script.answers:
        return script
    words = tuple(word for word in script.words if word.act != "deploy")
    return script.model_copy(update={"answers": turns, "words": words})


async def passed_over(path: Path, house: House) -> list[str]:
    """Return which key answers of a scenario can say nothing without a check going red."""
    case = read_case(path)
    silent = []
    # What counts the deaths of processes says nothing of words.
    checks = [check for check in case.checks if check.name != "facts"]
    for what in ("file", "answer"):
        orders = tuple(spoilt(script, what) for script in case.scenario.orders)
        if orders == case.scenario.orders:
            continue
        scenario = case.scenario.model_copy(update={"orders": orders})
        home = await house.fresh_home()
        performance = Performance(scenario, home, sandbox=await sandbox_here(), house=house)
        try:
            with no_sockets():
                await performance.play()
            evidence = evidence_of(performance)
        finally:
            performance.close()
        marks = [await check.mark(evidence) for check in checks]
        if all(found.holds for found in marks):
            silent.append(f"{path.stem}: {what}")
    return silent


NEVER_RECORDED = [
    path for path, scenario in READ.items() if not any(order.cassette for order in scenario.orders)
]
"""Crashes, a deploy, several orders: performed anew each time, here in one process."""
PERFORMED = [
    path
    for path in (*AUTHORED, *NEVER_RECORDED)
    # A notice that was cancelled was never handed over: that it says nothing is no fault.
    if path.stem != "cancel-while-working"
]


async def test_a_key_answer_that_says_nothing_fails_its_scenario(tmp_path: Path) -> None:
    async with House(tmp_path / "house") as house:
        path = PACKS / "safety" / "a-lying-approval.yaml"
        assert await passed_over(path, house) == []


async def test_a_cancellation_that_nobody_speaks_fails_its_scenario(tmp_path: Path) -> None:
    case = read_case(PACKS / "operations" / "cancel-while-working.yaml")
    (order,) = case.scenario.orders
    unsaid = case.scenario.model_copy(update={"orders": (order.model_copy(update={"words": ()}),)})
    async with House(tmp_path / "house") as house:
        performance = Performance(unsaid, await house.fresh_home(), house=house)
        try:
            with no_sockets():
                await performance.play()
            evidence = evidence_of(performance)
        finally:
            performance.close()
    failed = [check.name for check in case.checks if not (await check.mark(evidence)).holds]
    assert "status" in failed


EMBEDDED = sorted((PACKS / "embedded").glob("*.yaml"))


@pytest.mark.parametrize("path", EMBEDDED, ids=lambda path: path.stem)
def test_an_embedded_model_s_answer_that_says_nothing_fails_its_scenario(
    path: Path, tmp_path: Path
) -> None:
    name = str(load(path).orders[0].cassette)
    shipped = read(path.parent / name)
    entries = [copy.deepcopy(entry) for entry in shipped.entries]
    calls = [entry for entry in entries if entry["lane"] == "model" and "answer" in entry]
    calls[-1]["answer"]["choices"][0]["message"]["content"] = ""
    shutil.copy(path, tmp_path / path.name)
    write(dataclasses.replace(shipped, entries=tuple(entries)), tmp_path / name)
    result = run_case(tmp_path / path.name, 1)
    assert not result.passed
    assert result.drift


@pytest.mark.chaos
@pytest.mark.parametrize("path", PERFORMED, ids=lambda p: p.stem)
async def test_every_key_answer_that_says_nothing_fails_its_scenario(
    path: Path, tmp_path: Path
) -> None:
    async with House(tmp_path / "house") as house:
        assert await passed_over(path, house) == []


def test_a_comparison_shows_the_words_that_differ(tmp_path: Path) -> None:
    same = "The plan is long, and both runs begin it with the very same words. " * 4
    sides = [{"what": "says", "text": f"{same}{end}", "fault": ""} for end in ("Yes.", "No.")]
    step = {"place": "t1 work", "node": "", "seq": 0, "who": "cto"}
    step |= {"before": sides[0], "after": sides[1]}
    found = Difference("One", "changed", (1.0, 1.0), ("", ""), [], [], step)
    before, after = list(lines_of(found))[-2:]
    assert before.endswith("Yes.")
    assert after.endswith("No.")
