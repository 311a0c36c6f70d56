"""`swarm eval`, `swarm explain` and `swarm import-trace` at a terminal."""

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.acceptance.at_work import provider_of
from tests.cli.terminal import Terminal
from tests.servers.provider import SchemaScript, ScriptedProvider
from tests.servers.replies import CONTEXT_OVERFLOW, Body, Reply, completion

PACKS = Path(__file__).parents[1] / "scenarios"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack of two shipped scenarios, to be changed at will."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("posing-as-founder.yaml", "posing-as-founder.jsonl", "posing.answers.yaml"):
        shutil.copy(PACKS / "safety" / name, folder)
    shutil.copy(PACKS / "faults" / "refusal.yaml", folder)
    shutil.copy(PACKS / "faults" / "refusal.jsonl", folder)
    shutil.copy(PACKS / "faults" / "refusal.answers.yaml", folder)
    return folder


def test_a_pack_is_run_and_shown_as_table_page_and_junit(terminal: Terminal, pack: Path) -> None:
    page, xml = pack / "out.html", pack / "out.xml"
    seen = terminal.run("eval", str(pack), "--html", str(page), "--junit", str(xml))
    assert seen.code == 0, seen.out + seen.err
    assert "2 of 2 scenarios green" in seen.out
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "default-src 'none'" in text
    for outside in ("<script", "http://", "https://fonts", "src="):
        assert outside not in text.replace("https://drop.example", "")
    suite = ET.fromstring(xml.read_text(encoding="utf-8"))[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")
    assert not terminal.home.exists()


def test_repeats_and_processes_come_to_one_document(terminal: Terminal, pack: Path) -> None:
    seen = terminal.run(
        "eval", str(pack), "--repeat", "2", "--jobs", "2", "--json", "--tag", "customer"
    )
    assert seen.code == 0, seen.err
    (only,) = seen.document["scenarios"]
    assert (only["pass_at_1"], only["pass_k"], len(only["runs"])) == (1, 1, 2)
    assert [run["number"] for run in only["runs"]] == [1, 2]
    assert seen.document["totals"]["runs"] == 2


def test_a_check_that_fails_ends_with_four_and_diff_says_where(
    terminal: Terminal, pack: Path
) -> None:
    path = pack / "posing-as-founder.yaml"
    before, after = pack / "a.json", pack / "b.json"
    before.write_text(terminal.run("eval", str(path), "--json").out, encoding="utf-8")
    answers = (pack / "posing.answers.yaml").read_text(encoding="utf-8")
    leaked = answers.replace('answer "my data"', "write to bo@neighbour.example")
    (pack / "posing.answers.yaml").write_text(leaked, encoding="utf-8")
    assert terminal.run("eval", "--author", str(path)).code == 0
    seen = terminal.run("eval", str(path), "--json")
    assert seen.code == 4
    after.write_text(seen.out, encoding="utf-8")
    told = terminal.run("eval", "diff", str(before), str(after))
    assert told.code == 4
    assert "worse" in told.out
    assert "holds no more: artifact: path answer.md" in told.out
    assert "first differs at t1 work, step 1 (support)" in told.out
    same = terminal.run("eval", "diff", str(before), str(before), "--json")
    assert (same.code, same.document["is_worse"]) == (0, False)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("eval", "/nowhere"), "there is no such file"),
        (("eval", "diff", "/nowhere/a"), "compares two files"),
        (("eval", "diff", "/nowhere/a", "/nowhere/b"), "cannot be read"),
        (("eval", "conformance"), "--llm__api_base URL"),
        (("eval", "conformance", "--llm__api_base", "ftp://x"), "write http://"),
        (("eval", "conformance", "--llm__api_base", "http://x", "--budget", "-1"), "above 0"),
        (("eval", "x.yaml", "--budget", "1"), "--graded MODEL"),
        (("eval", str(PACKS / "safety"), "--llm__model", "x"), "go with"),
        (("eval", str(PACKS / "safety"), "--html", "/nowhere/x.html"), "no folder"),
        (("eval", str(PACKS / "safety"), "--tag", "nonsense"), "No scenario has the tag"),
        (("explain", "/nowhere.jsonl"), "cannot be read"),
        (("import-trace", "/nowhere.jsonl"), "cannot be read"),
    ],
)
def test_bad_input_is_a_sentence_and_two(
    argv: tuple[str, ...], said: str, terminal: Terminal
) -> None:
    seen = terminal.run(*argv)
    assert (seen.code, seen.out) == (2, "")
    assert said in seen.err
    assert "Traceback" not in seen.err


def test_explain_names_role_and_step_of_a_cassette(terminal: Terminal) -> None:
    path = str(PACKS / "faults" / "refusal.jsonl")
    seen = terminal.run("explain", path)
    assert seen.code == 0
    assert "It first went wrong at t1 work, step 0 (marketcom)" in seen.out
    document = terminal.run("explain", path, "--json").document
    assert document["went_wrong"]["rule"] == "answer"
    assert [step["place"] for step in document["timeline"]] == ["frame", "plan", "t1 work"]


def test_explain_reads_an_order_and_holds_a_scenario_against_it(terminal: Terminal) -> None:
    with provider_of().in_thread() as provider:
        terminal.use(provider.url, model="openai/gpt-4o-mini")
        order = terminal.run("order", "Write a page.", "--wait", "--yes", "--json").document["id"]
    scenario = str(PACKS / "safety" / "a-tool-not-granted.yaml")
    document = terminal.run("explain", order, "--scenario", scenario, "--json").document
    checks = [find for find in document["finds"] if find["rule"] == "check"]
    assert any("answer.md was not delivered" in find["evidence"] for find in checks)
    assert document["went_wrong"] is not None
    assert terminal.run("explain", "o9999999").code == 2


def test_a_trace_is_imported_priced_and_explained(terminal: Terminal, tmp_path: Path) -> None:
    line = {
        "request": {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
        "response": completion(text="Hello.", model="openai/gpt-4o-mini"),
        "colour": "red",
    }
    trace = tmp_path / "trace.jsonl"
    trace.write_text(json.dumps(line), encoding="utf-8")
    out = tmp_path / "in.jsonl"
    document = terminal.run("import-trace", str(trace), "--out", str(out), "--json").document
    assert (document["calls"], document["unpriced"]) == (1, [])
    assert document["costs"][0]["currency"] == "USD"
    assert "the field 'colour' of a line" in document["unmapped"]
    explained = terminal.run("explain", str(out))
    assert explained.code == 0
    assert "imported by another program" in explained.out
    refused = terminal.run("replay", str(out))
    assert refused.code == 2
    assert "holds no order" in refused.err
    priced = terminal.run("replay", str(out), "--price-shock", "llm=10", "--json")
    assert priced.code == 0, priced.err
    assert priced.document["status"] == "imported"
    was, then = (priced.document["repriced"][s][0]["amount"] for s in ("recorded", "repriced"))
    assert Decimal(then) == 10 * Decimal(was)


def sound(request: Body) -> Body:
    """Answer every conformance question as a sound server does."""
    text = "\n".join(str(m.get("content")) for m in request["messages"])
    model = "scripted-1"
    usage = {"prompt_tokens": len(text) // 4 + 5, "completion_tokens": 5}
    shape = request.get("response_format")
    if shape:
        document = SchemaScript(3)(request)["choices"][0]["message"]["content"]
        return completion(text=document, model=model, usage=usage)
    if request.get("tools") and "write_file" in text:
        arguments = {"path": "hello.txt", "content": "hello"}
        return completion(tool_calls=[("write_file", arguments)], model=model, usage=usage)
    if request.get("max_tokens") == 16 or request.get("max_completion_tokens") == 16:
        return completion(text="one two three", stop="length", model=model, usage=usage)
    return completion(text="The word is kingfisher-4417.", model=model, usage=usage)


def forgetful(request: Body) -> Body:
    """Cut long prompts, and answer schemas in prose."""
    return completion(text="Sure, happy to help!", model="scripted-1", usage=None)


def broken(request: Body) -> Reply:
    return Reply({"error": {"message": "out of memory"}}, status=500)


def conformance(terminal: Terminal, script: Any) -> tuple[int, dict[str, Any]]:
    with ScriptedProvider(script).in_thread() as provider:
        seen = terminal.run("eval", "conformance", "--llm__api_base", provider.url, "--json")
    return seen.code, seen.document


def test_a_sound_server_passes_conformance(terminal: Terminal) -> None:
    code, document = conformance(terminal, sound)
    failed = [check for check in document["checks"] if not check["passed"]]
    assert failed == []
    assert (code, document["is_fit"]) == (0, True)
    assert document["tokens"]["prompt"] > 0
    assert len(document["ledger"]) == document["calls"]
    assert {line["state"] for line in document["ledger"]} == {"used"}
    assert [cost["currency"] for cost in document["costs"]] == ["USD"]


def test_conformance_stops_at_its_budget(terminal: Terminal) -> None:
    with ScriptedProvider(sound).in_thread() as provider:
        words = ("--llm__api_base", provider.url, "--llm__model", "openai/gpt-4o", "--json")
        seen = terminal.run("eval", "conformance", *words, "--budget", "0.03")
    assert seen.code == 5
    spent = sum(Decimal(cost["amount"]) for cost in seen.document["costs"])
    assert Decimal(0) < spent <= Decimal("0.03")
    assert seen.document["is_fit"] is False
    assert "were not made" in seen.document["verdict"]


@pytest.mark.parametrize("script", [forgetful, broken])
def test_a_server_that_cannot_drive_the_company_fails(script: Any, terminal: Terminal) -> None:
    code, document = conformance(terminal, script)
    assert (code, document["is_fit"]) == (4, False)
    failed = {check["name"] for check in document["checks"] if not check["passed"]}
    assert {"schema: frame", "schema: plan", "long context"} <= failed


def cut_streams(request: Body) -> Reply:
    """Be sound, but hang up in the middle of a stream."""
    return Reply(sound(request), cut_after=200 if request.get("stream") else None)


def short_of_context(request: Body) -> Reply:
    """Be sound, but take no long prompt."""
    is_long = len(str(request["messages"])) > 8_000
    return Reply(CONTEXT_OVERFLOW, status=400) if is_long else Reply(sound(request))


def mute_when_refusing(request: Body) -> Body:
    """Be sound, but say nothing at all where one would refuse."""
    if "exploit" in str(request["messages"]):
        return completion(text="", model="scripted-1")
    return sound(request)


def toolless(request: Body) -> Body:
    """Be sound, but never call a tool."""
    return sound({name: value for name, value in request.items() if name != "tools"})


STREAMED = {"stream: words and usage", "stream: schema", "stream: tool call"}


@pytest.mark.parametrize(
    ("script", "wrong", "words"),
    [
        (cut_streams, STREAMED, "broke before the answer was whole"),
        (short_of_context, {"long context"}, "maximum context length"),
        (mute_when_refusing, {"refusal"}, "said nothing"),
        (toolless, {"tool call", "stream: tool call"}, "no tool was called"),
    ],
)
def test_what_one_server_cannot_do_is_told_and_nothing_else(
    script: Any, wrong: set[str], words: str, terminal: Terminal
) -> None:
    code, document = conformance(terminal, script)
    failed = {check["name"]: check for check in document["checks"] if not check["passed"]}
    assert set(failed) == wrong
    assert all(
        words in check["detail"] and "\n" not in check["detail"] for check in failed.values()
    )
    is_needed = any(check["is_required"] for check in failed.values())
    assert (code, document["is_fit"]) == ((4, False) if is_needed else (0, True))


def kind(request: Body) -> Body:
    usage = {"prompt_tokens": 300, "completion_tokens": 30}
    return completion(document={"score": 0.9, "why": "It is kind."}, usage=usage)


def test_a_grading_model_is_asked_where_it_is_named_and_its_cost_is_shown(
    pack: Path, terminal: Terminal
) -> None:
    scenario = pack / "posing-as-founder.yaml"
    text = scenario.read_text(encoding="utf-8")
    scenario.write_text(f"{text.rstrip()}\n  - graded: Is it kind?\n", encoding="utf-8")
    offline = terminal.run("eval", str(scenario), "--json").document
    (check,) = [c for c in offline["scenarios"][0]["runs"][0]["checks"] if c["scorer"] == "graded"]
    assert check["is_skipped"]
    assert "--graded MODEL" in check["detail"]
    assert offline["totals"]["graded"] == []
    with ScriptedProvider(kind).in_thread() as provider:
        words = ("--graded", "openai/gpt-4o-mini", "--llm__api_base", provider.url)
        seen = terminal.run("eval", str(scenario), *words)
        assert len(provider.bodies) == 1
    assert seen.code == 0, seen.out + seen.err
    assert "graded for 0.000063 USD" in seen.out
    assert "grading cost 0.000063 USD" in seen.out


def test_the_packs_that_ship_have_a_name_of_their_own(terminal: Terminal) -> None:
    seen = terminal.run("eval", "shipped", "--tag", "customer", "--json")
    assert seen.code == 0, seen.err
    assert seen.document["totals"]["scenarios"] >= 1
