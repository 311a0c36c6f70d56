"""`swarm record` and `swarm replay`, as they are typed."""

import asyncio
import contextlib
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.cli import exits
from swarm.cli.entry import run
from swarm.evals.cassette import Cassette, read, write
from swarm.evals.homes import furnish
from swarm.org.loader import builtin_roles
from tests.acceptance.at_work import at_work as plainly_at_work
from tests.acceptance.at_work import provider_of, settings_of
from tests.servers.provider import ScriptedProvider


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a company's home with a delivered order, and the order's id."""
    home = tmp_path_factory.mktemp("company") / "home"

    async def work() -> str:
        furnish(home)
        async with plainly_at_work(home, provider_of()) as company:
            return (await company.deliver()).id

    return home, asyncio.run(work())


@pytest.fixture
def cassette(worked: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a recording of that order, with the environment of its company."""
    home, order = worked
    shutil.copytree(home, tmp_path / "home")
    for name, value in settings_of(tmp_path / "home", "http://127.0.0.1:9/v1").items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "order.jsonl"
    assert run(["record", order, "--out", str(path), "--no-check"]) == exits.DONE
    return path


@contextlib.contextmanager
def served() -> Iterator[ScriptedProvider]:
    """Let a provider answer beside this thread, which a command has for itself."""
    loop, provider = asyncio.new_event_loop(), provider_of()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(provider.__aenter__(), loop).result(10)
        yield provider
        asyncio.run_coroutine_threadsafe(provider.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = run(list(words))
    return code, json.loads(capsys.readouterr().out)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_recording_plays_the_same(cassette: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = shown(capsys, "replay", str(cassette), "--json")
    assert code == exits.DONE
    assert document["status"] == "same"
    assert document["calls"] == len(read(cassette).lane("model"))
    assert document["misses"] == []
    assert document["leftover"] == []
    assert document["ledger_sha256"] == document["recorded_ledger_sha256"]
    assert document["receipt"]["calls"] == document["calls"]


def test_a_changed_word_of_a_role_is_shown(
    cassette: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roles = tmp_path / "home" / "roles"
    roles.mkdir(exist_ok=True)
    text = (builtin_roles() / "cto.md").read_text(encoding="utf-8")
    (roles / "cto.md").write_text(text.replace("engineer", "plumber", 1), encoding="utf-8")
    code, document = shown(capsys, "replay", str(cassette), "--json")
    assert code == exits.FAILED
    miss = document["misses"][0]
    assert set(miss) == {"lane", "index", "nearest", "path", "expected", "got"}
    assert "engineer" in miss["expected"]
    assert "plumber" in miss["got"]
    code, out, _ = said(capsys, "replay", str(cassette), "--shipped-roles")
    assert code == exits.DONE
    assert "the same" in out


def test_other_prices_show_both_totals(cassette: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("replay", str(cassette), "--price-shock", "llm=10", "--json")
    code, document = shown(capsys, *words)
    assert code == exits.DONE
    was, then = document["repriced"]["recorded"], document["repriced"]["repriced"]
    assert (was[0]["currency"], then[0]["currency"]) == ("USD", "USD")
    assert float(then[0]["amount"]) == pytest.approx(10 * float(was[0]["amount"]))
    code, out, _ = said(capsys, "replay", str(cassette), "--model", "anthropic/claude-sonnet-4-5")
    assert code == exits.DONE
    assert "as recorded" in out


def test_faults_are_survived(cassette: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("replay", str(cassette), "--faults", "429@3,timeout@5,cut@2,500@1", "--json")
    code, document = shown(capsys, *words)
    assert (code, document["status"], document["faults"]) == (exits.DONE, "same", 4)


def test_a_walk_shows_each_call_and_stops(
    cassette: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("\n\nq\n"))
    code, out, _ = said(capsys, "replay", str(cassette), "--step")
    assert code == exits.DONE
    assert "[1] frame/0 0, asked openai/gpt-4o-mini" in out
    assert "[3]" in out
    assert "[4]" not in out
    assert "stopped" in out
    code, document = shown(capsys, "replay", str(cassette), "--until", "plan", "--json")
    assert (code, document["status"], document["calls"]) == (exits.DONE, "stopped", 1)
    code, _, err = said(capsys, "replay", str(cassette), "--until", "nowhere")
    assert code == exits.USAGE
    assert "no call stands there" in err


def test_two_recordings_of_one_order_are_refused_before_either_is_played(
    cassette: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        shutil.copy(cassette, folder / name)
    code, out, err = said(capsys, "replay", str(folder))
    assert code == exits.USAGE
    assert "both recordings of order" in err
    assert out == ""
    (tmp_path / "none").mkdir()
    code, _, err = said(capsys, "replay", str(tmp_path / "none"))
    assert code == exits.USAGE
    assert "holds no cassette" in err


def test_a_bad_cassette_beside_a_good_one_runs_neither(
    cassette: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "zz.jsonl"
    bad.write_bytes(cassette.read_bytes()[:-100])
    code, out, err = said(capsys, "replay", str(cassette), str(bad))
    assert code == exits.USAGE
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize(
    "words",
    [
        ("--step", "--json"),
        ("--yes",),
        ("--update", "--step"),
        ("--faults", "418@1"),
        ("--price-shock", "llm"),
        ("--reprice", "/no/such/book.json"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_said(
    words: tuple[str, ...], cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, "replay", str(cassette), *words)
    assert code == exits.USAGE
    assert err.startswith("Error: ")
    assert out == ""


def test_an_update_asks_the_live_model_for_what_changed_alone(
    cassette: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    before = cassette.read_bytes()
    roles = tmp_path / "home" / "roles"
    roles.mkdir(exist_ok=True)
    text = (builtin_roles() / "cto.md").read_text(encoding="utf-8")
    (roles / "cto.md").write_text(text.replace("engineer", "plumber", 1), encoding="utf-8")

    capsys.readouterr()
    with served() as provider:
        monkeypatch.setenv("SWARM_LLM__API_BASE", provider.url)
        code = run(["replay", str(cassette), "--update", "--yes", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == exits.DONE
    assert document["is_written"]
    assert 0 < document["asked"] < document["after"]["calls"]
    assert len(provider.bodies) == document["asked"]
    assert cassette.read_bytes() != before
    code, again = shown(capsys, "replay", str(cassette), "--json")
    assert (code, again["status"]) == (exits.DONE, "same")


def test_a_recording_by_hand_is_sealed(cassette: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read(cassette)
    write(Cassette(found.manifest, found.entries), cassette)
    cassette.write_text(
        cassette.read_text(encoding="utf-8").replace("gpt-4o-mini", "gpt-4o-nano"), "utf-8"
    )
    assert said(capsys, "replay", str(cassette))[0] == exits.USAGE
    assert said(capsys, "record", "--seal", str(cassette))[0] == exits.DONE
    assert read(cassette).manifest.provenance.kind == "authored"


def test_an_order_is_recorded_when_it_is_given(
    cassette: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    capsys.readouterr()
    with served() as provider:
        monkeypatch.setenv("SWARM_LLM__API_BASE", provider.url)
        assert run(["order", "Write a page.", "--wait", "--record"]) == exits.DONE
    assert "Recorded in" in capsys.readouterr().err
    (path,) = (tmp_path / "home" / "cassettes").glob("*.jsonl")
    assert shown(capsys, "replay", str(path), "--json")[1]["status"] == "same"
    code, _, err = said(capsys, "order", "Write a page.", "--record")
    assert code == exits.USAGE
    assert "--record needs --wait" in err


PACKS = Path(__file__).parents[1] / "scenarios"


def test_a_scenario_s_own_cassette_is_played_with_the_files_it_began_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWARM_HOME", str(tmp_path / "nowhere"))
    path = PACKS / "safety" / "a-lying-approval.yaml"
    code, document = shown(capsys, "replay", str(path), "--json")
    assert (code, document["status"]) == (exits.DONE, "same")
    code, _, err = said(capsys, "replay", str(PACKS / "operations" / "two-at-once.yaml"))
    assert code == exits.USAGE
    assert "swarm eval" in err


def test_a_fault_that_meets_no_call_and_a_stop_are_said(
    cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(capsys, "replay", str(cassette), "--faults", "429@2,timeout@500")
    assert code == exits.FAILED
    assert "1 faults put in" in out
    assert "met no call: 1" in out
    code, out, _ = said(capsys, "replay", str(cassette), "--until", "2")
    assert code == exits.DONE
    assert "stopped before call 3, t1/0.0/w0 0" in out
    assert "parked" not in out


def test_the_folder_of_cassettes_is_not_brought_up_to_date_at_once(
    cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(capsys, "replay", str(cassette.parent), "--update")
    assert code == exits.USAGE
    assert "one cassette, not a folder" in err
