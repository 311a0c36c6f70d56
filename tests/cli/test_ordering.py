"""Orders given at the terminal, from bad input to a delivered result."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal
from tests.servers.company import CompanyScript, PlannedTask
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Reply

ONE_TASK = (PlannedTask("Write the page", "cto", "Write it.", "page.md"),)


@pytest.fixture
def company() -> CompanyScript:
    return CompanyScript(ONE_TASK)


@pytest.fixture
def provider(company: CompanyScript, terminal: Terminal) -> Iterator[ScriptedProvider]:
    server = ScriptedProvider(company)
    with server.in_thread():
        terminal.use(server.url)
        yield server


@pytest.mark.parametrize(
    ("argv", "stdin", "word"),
    [
        (("order", ""), b"", "empty"),
        (("order", " \n\t "), b"", "empty"),
        (("order", "-"), b"", "empty"),
        (("order", "-"), b"\0\0\0", "empty"),
        (("order", "\u202e\u2066"), b"", "empty"),
        (("order", "x" * 1_000_000), b"", "262,144"),
        (("order", "-"), b"x" * 1_000_000, "262,144"),
        (("order", "-"), b"x" * 2_000_000, "Standard input holds more"),
        (("order", "x", "--budget", "-1"), b"", "-1"),
        (("order", "x", "--budget", "0"), b"", "0"),
        (("order", "x", "--budget", "abc"), b"", "abc"),
        (("order", "x", "--budget", "NaN"), b"", "NaN"),
        (("order", "x", "--budget", "sNaN"), b"", "sNaN"),
        (("order", "x", "--budget", "Infinity"), b"", "Infinity"),
    ],
)
def test_bad_input_gets_one_sentence_and_makes_no_company(
    terminal: Terminal, argv: tuple[str, ...], stdin: bytes, word: str
) -> None:
    seen = terminal.run(*argv, stdin=stdin)
    assert (seen.code, seen.out) == (2, "")
    assert seen.err.startswith("Error: ")
    assert word in seen.err
    assert seen.err.count("\n") == 1
    assert not terminal.home.exists()


def test_an_order_without_wait_is_stored_and_says_how_to_go_on(terminal: Terminal) -> None:
    seen = terminal.run("order", "Bake a cake.", "--budget", "2.50", "--yes")
    assert seen.code == 0
    order_id = re.findall(r"Order (o\w+) is stored", seen.out)[0]
    assert f"swarm wait {order_id}" in seen.out
    document = terminal.run("show", order_id, "--json").document
    assert (document["status"], document["text"]) == ("queued", "Bake a cake.")
    assert document["budget"]["amount"] == "2.5"


def test_what_standard_input_holds_is_cleaned_before_it_is_stored(terminal: Terminal) -> None:
    seen = terminal.run("order", "-", "--json", stdin=b"Bake\0 \xff\xe2\x80\xae a cake.\r\nNow.\n")
    assert seen.document["text"] == "Bake \ufffd a cake.\nNow."


def test_lone_surrogates_of_a_shell_become_replacement_signs(terminal: Terminal) -> None:
    assert terminal.run("order", "caf\udce9", "--json").document["text"] == "caf\ufffd"


def test_a_home_that_is_no_folder_is_a_sentence(terminal: Terminal) -> None:
    terminal.home.write_text("a file")
    seen = terminal.run("order", "x")
    assert seen.code == 2
    assert str(terminal.home) in seen.err
    assert "Traceback" not in seen.err


def test_without_a_model_nothing_is_stored(terminal: Terminal) -> None:
    terminal.set(SWARM_LLM__API_BASE="http://127.0.0.1:1/v1")
    seen = terminal.run("order", "x", "--wait")
    assert (seen.code, seen.out) == (2, "")
    assert terminal.run("orders", "--json").document == []


@pytest.mark.usefixtures("provider")
def test_waiting_prints_the_model_the_plan_the_result_and_the_receipt(terminal: Terminal) -> None:
    seen = terminal.run("order", "Write a page for a bakery.", "--wait")
    assert seen.code == 0, seen.err
    lines = seen.out.splitlines()
    assert lines[0].startswith("Model: openai/scripted-1 at http://127.0.0.1")
    for part in (
        "t1 cto: Write the page -> page.md",
        "t1 cto: Write the page: accepted",
        "The work is done; the files are attached.",
        "Deliverables in ",
        "sha256 ",
        "Receipt",
        "unpriced: nobody knows what these calls cost",
        "A human team: ",
    ):
        assert part in seen.out
    assert seen.out.index("-> page.md") < seen.out.index("is delivered")


@pytest.mark.usefixtures("provider")
def test_with_json_standard_output_holds_one_document_as_show_prints_it(terminal: Terminal) -> None:
    seen = terminal.run("order", "Write a page for a bakery.", "--wait", "--json")
    assert seen.code == 0, seen.err
    assert seen.err.startswith("Model: ")
    document = seen.document
    assert document["status"] == "delivered"
    assert document["receipt"]["calls"] == 7
    assert Path(document["workspace"], document["artifacts"][0]["path"]).is_file()
    assert terminal.run("show", document["id"], "--json").document == document


def test_controls_and_markup_of_a_model_reach_the_terminal_as_plain_text(
    company: CompanyScript, provider: ScriptedProvider, terminal: Terminal
) -> None:
    del provider
    evil = "\x1b[2J\x9b31m[red]done[/red]\u202egnp.exe"
    company.answers["delivery"] = {"answer": evil, "lessons": []}
    seen = terminal.run("order", "x", "--wait")
    assert seen.code == 0
    assert "[2J31m[red]done[/red]gnp.exe" in seen.out
    assert not set(seen.out) & set("\x1b\x9b\u202e")


def test_a_question_ends_the_wait_with_code_3_and_the_commands_that_answer(
    company: CompanyScript, provider: ScriptedProvider, terminal: Terminal
) -> None:
    del provider
    company.questions = ("Which colour?",)
    seen = terminal.run("order", "x", "--wait")
    assert seen.code == 3
    command = re.findall(r'\$ swarm answer (q\w+) "your answer"', seen.out)
    assert len(command) == 1
    company.questions = ()
    done = terminal.run("answer", command[0], "Blue.", "--wait", "--json")
    assert done.code == 0, done.err
    assert done.document["questions"][0]["answer"] == "Blue."
    assert done.document["receipt"]["founder_s"] > 0


def test_yes_answers_no_questions_and_waits_for_nobody(
    company: CompanyScript, provider: ScriptedProvider, terminal: Terminal
) -> None:
    del provider
    company.questions = ("Which colour?",)
    assert terminal.run("order", "x", "--wait", "--yes").code == 0


def test_a_plan_over_the_threshold_is_signed_or_sent_back(
    provider: ScriptedProvider, terminal: Terminal
) -> None:
    terminal.use(provider.url, model="openai/priced-1")
    terminal.set(
        SWARM_PRICES='{"openai/priced-1": {input_per_million: 1, output_per_million: 1}}',
        SWARM_BUDGET__SIGN_ABOVE="0",
    )
    seen = terminal.run("order", "x", "--wait")
    assert seen.code == 3
    order_id = re.findall(r"swarm approve (o\w+)", seen.out)[0]
    assert f'swarm reject {order_id} "what to change"' in seen.out
    again = terminal.run("reject", order_id, "Cheaper, please.", "--wait")
    assert (again.code, "revision 2" in again.out) == (3, True)
    done = terminal.run("approve", order_id, "--wait")
    assert done.code == 0
    assert "it took less" in done.out or "it was kept" in done.out
    shown = terminal.run("accept", order_id, "--sign", "Ada L.")
    assert shown.out == f"Order {order_id} is accepted by Ada L.\n"


def _refuse(status: int) -> Any:
    body = {"error": {"message": "no", "type": "x"}}
    return lambda request: Reply(body, status=status)


@pytest.mark.parametrize(("status", "code"), [(503, 5), (401, 2)])
def test_a_provider_that_stops_an_order_parks_it_until_it_is_resumed(
    company: CompanyScript,
    provider: ScriptedProvider,
    terminal: Terminal,
    status: int,
    code: int,
) -> None:
    provider.script = _refuse(status)
    seen = terminal.run("order", "x", "--wait", "--json")
    assert (seen.code, seen.document["status"]) == (code, "parked")
    provider.script = company
    assert terminal.run("resume", seen.document["id"], "--wait").code == 0


def test_a_budget_stops_an_order_with_code_5_and_a_higher_one_lets_it_go_on(
    provider: ScriptedProvider, terminal: Terminal
) -> None:
    terminal.use(provider.url, model="openai/priced-1")
    terminal.set(SWARM_PRICES='{"openai/priced-1": {input_per_million: 1, output_per_million: 1}}')
    seen = terminal.run("order", "x", "--wait", "--yes", "--budget", "0.000001")
    assert seen.code == 5
    order_id = re.findall(r"swarm budget (o\w+) AMOUNT", seen.out)[0]
    raised = terminal.run("budget", order_id, "5")
    assert f"Going on: {order_id}" in raised.out
    assert terminal.run("wait", order_id).code == 0


def test_a_failed_order_has_code_4(
    company: CompanyScript, provider: ScriptedProvider, terminal: Terminal
) -> None:
    del provider
    company.answers["frame"] = {"nonsense": True}
    assert terminal.run("order", "x", "--wait").code == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_wait_and_the_order_goes_on_later(
    company: CompanyScript, provider: ScriptedProvider, terminal: Terminal, number: signal.Signals
) -> None:
    def strike(request: Any) -> Any:
        provider.script = company
        os.kill(os.getpid(), number)
        return company(request)

    provider.script = strike
    provider.delay_s = 0.2
    seen = terminal.run("order", "x", "--wait", "--json")
    assert seen.code == 130
    assert seen.document["status"] in ("queued", "working")
    order_id = seen.document["id"]
    assert f"swarm wait {order_id}" in seen.err
    provider.delay_s = 0.0
    done = terminal.run("wait", order_id, "--json")
    assert (done.code, done.document["status"]) == (0, "delivered")


def test_waiting_for_an_order_that_stands_still_only_reports_it(terminal: Terminal) -> None:
    order_id = terminal.order()
    terminal.run("cancel", order_id)
    seen = terminal.run("wait", order_id)
    assert seen.code == 4
    assert "was cancelled" in seen.out
    assert "Model:" not in seen.out


def test_an_unknown_order_names_the_nearest(terminal: Terminal) -> None:
    order_id = terminal.order()
    seen = terminal.run("wait", order_id[:-1])
    assert seen.code == 2
    assert seen.err.endswith(f"did you mean '{order_id}'?\n")


def test_every_document_fits_the_published_schema(terminal: Terminal) -> None:
    schema = terminal.run("schema", "order").document
    document = terminal.run("show", terminal.order(), "--json").document
    assert set(schema["required"]) == set(document)
    assert json.dumps(schema["properties"]["receipt"])
