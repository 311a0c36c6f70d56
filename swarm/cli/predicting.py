"""Predict what people need, and test how good such predictions are."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from swarm.cli import exits
from swarm.cli.lazy import load
from swarm.cli.terminal import say, show_json, tell
from swarm.cli.wording import counted
from swarm.core.errors import ConfigError
from swarm.core.money import plain
from swarm.ledger.baseline.calibration import borrowed, write_tasks
from swarm.ledger.baseline.columns import MAX_BYTES, Fault, day, read_table
from swarm.ledger.baseline.history import ENOUGH, History
from swarm.ledger.baseline.plan import calibration_id, rounded
from swarm.ledger.baseline.predict import Predictor, read_levels
from swarm.ledger.baseline.score import Coverage, Scores
from swarm.ledger.baseline.trial import Trial, read_cases, run_trial

SHOWN_FAULTS = 50
_COMPANY = "swarm.cli.opened:opened"
"""Loaded where a company is asked for: a prediction needs none, and programs wait for it."""
MAX_LINE_BYTES = 2**20


def predict(*, source: str, levels: str, is_own: bool, as_json: bool) -> None:
    """Answer each line of the input with a line; a broken one with what is wrong with it.

    Raises:
        InvalidInput: The levels make no sense.
        ConfigError: The input cannot be read, or there is no company to take `--own` from.
    """
    predictor = _predictor(levels, is_own=is_own)
    for number, line in enumerate(_lines(source), start=1):
        answer = predictor.line(line)
        if "error" in answer:
            answer = {"line": number, **answer}
        say(json.dumps(answer, ensure_ascii=False) if as_json else _words(answer))


def _predictor(levels: str, *, is_own: bool) -> Predictor:
    wanted = read_levels(levels)
    if not is_own:
        return Predictor(levels=wanted)
    with load(_COMPANY)() as app:
        history = app.store.read(app.baselines.history)
        return Predictor(levels=wanted, history=history, rate=app.baselines.rate)


def _words(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"Line {answer['line']}: {answer['error']}"
    what = answer.get("class") or ", ".join(f"{v:g} {k}" for k, v in answer["size"].items())
    lines = [f"{answer['kind']} ({what or 'estimated'}):"]
    units = (("hours", "h of work"), ("elapsed", "h by the calendar"))
    for name, unit in (*units, ("cost", str(answer["cost"]["currency"]))):
        spans = ", ".join(
            f"{band['low']} to {band['high']} ({float(band['level']):.0%})"
            for band in answer[name]["intervals"]
        )
        lines.append(f"  {answer[name]['p50']} {unit}, most likely; {spans}")
    return "\n".join([*lines, f"  {answer['method']}"])


def calibrate(*, source: str | None, levels: str, split: str | None, as_json: bool) -> int:
    """Fit and test a table; without one, show the figures in force.

    Raises:
        InvalidInput: The table, the levels or the day make no sense.
    """
    wanted = read_levels(levels)
    if source is None:
        return _in_force(as_json=as_json)
    name = "standard input" if source == "-" else source
    table = read_table(read_bytes(source), needed=("estimate", "actual"), name=name)
    cases, faults = read_cases(table)
    trial = run_trial(cases, levels=wanted, split=None if split is None else day(split))
    if as_json:
        show_json(_trial_document(trial, faults, dict(table.columns)))
    else:
        say("\n".join(_trial_lines(trial)))
        tell_faults(faults)
    return exits.DONE


def tell_faults(faults: list[Fault]) -> None:
    """Say which rows were refused, the first of them one by one."""
    for fault in faults[:SHOWN_FAULTS]:
        tell(f"line {fault.line}: {fault.reason}")
    if len(faults) > SHOWN_FAULTS:
        tell(f"… and {len(faults) - SHOWN_FAULTS} more; `--json` lists them all.")


def fault_documents(faults: list[Fault]) -> list[dict[str, Any]]:
    """Return the refused rows for programs."""
    return [{"line": fault.line, "reason": fault.reason} for fault in faults]


def _in_force(*, as_json: bool) -> int:
    with load(_COMPANY)() as app:
        history = app.store.read(app.baselines.history)
        rate = app.baselines.rate
    figures = borrowed()
    if as_json:
        show_json(
            {
                "calibration_id": calibration_id(figures, history),
                "borrowed_cases": figures.tasks.cases("any", is_estimated=True),
                "own": _history(history),
                "rate": rate.words,
                "sources": [
                    figures.task_source,
                    figures.estimates.source,
                    *(r.source for r in (*figures.productivity, *figures.lines, *figures.schedule)),
                    rate.source,
                ],
            }
        )
        return exits.DONE
    say(f"Bands: {history.words} ({ENOUGH} are enough); figures {figures.id}.")
    say(f"  {figures.task_source}")
    say(f"  {rate.source}")
    return exits.DONE


def _history(history: History) -> dict[str, Any]:
    return {
        "cases": history.count,
        "enough": ENOUGH,
        "shift": round(history.shift, 4),
        "stretch": round(history.stretch, 4),
        "words": history.words,
    }


def _trial_document(trial: Trial, faults: list[Fault], columns: dict[str, str]) -> dict[str, Any]:
    return {
        "cases": trial.cases,
        "refused": fault_documents(faults),
        "columns": columns,
        "split": trial.split,
        "held_out": _scores(trial.scores),
        "class_only": None if trial.class_only is None else _scores(trial.class_only),
        "by_size": [{"name": name, **_scores(found)} for name, found in trial.by_size],
        "by_class": [{"class": name, **_scores(found)} for name, found in trial.by_class],
        "fit": write_tasks(trial.table),
    }


def _scores(found: Scores) -> dict[str, Any]:
    return {
        "n": found.count,
        "coverage": [_coverage(coverage) for coverage in found.coverage],
        "median_abs_log_error": round(found.median_abs_log_error, 4),
        "bias": round(found.bias, 4),
        "share_within_2x": round(found.within_2x, 4),
        "total_over_predicted": round(found.total_over_predicted, 4),
    }


def _coverage(found: Coverage) -> dict[str, Any]:
    return {
        "level": found.level,
        "covered": round(found.share, 4),
        "held": found.held,
        "n": found.count,
        "binomial_95": [round(found.low, 4), round(found.high, 4)],
        "median_width": plain(rounded(found.width)),
        "interval_score": round(found.interval_score, 4),
    }


def _trial_lines(trial: Trial) -> list[str]:
    lines = [
        f"{counted(trial.cases, 'row')}; {trial.split}.",
        *_score_lines("held out", trial.scores),
    ]
    if trial.class_only is not None:
        lines += _score_lines("by kind alone", trial.class_only)
    for name, found in (*trial.by_size, *trial.by_class):
        lines += _score_lines(name, found)
    return lines


def _score_lines(name: str, found: Scores) -> list[str]:
    lines = [
        f"{name}: n = {found.count}, median error a factor of "
        f"{_factor(found.median_abs_log_error)}, bias {found.bias:.2f}, "
        f"{found.within_2x:.0%} within 2x"
    ]
    lines += [
        f"  {c.level:.0%} band held {c.share:.0%} ({c.low:.0%} to {c.high:.0%} with 95 % "
        f"confidence), {c.width:.1f}x wide, interval score {c.interval_score:.2f}"
        for c in found.coverage
    ]
    return lines


def _factor(log: float) -> str:
    return f"{2.718281828459045**log:.2f}"


def read_bytes(source: str) -> bytes:
    """Return a file's bytes, or standard input's for `-`; at most one more than may be read.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        if source == "-":
            return b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_BYTES + 1)
        with Path(source).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}.") from error


def _lines(source: str) -> Iterator[str]:
    """Return the lines of JSON; of one too long to be read, its start alone, which is none."""
    if source == "-":
        if sys.stdin is not None:
            yield from _cut(sys.stdin.buffer)
        return
    try:
        with Path(source).open("rb") as stream:
            yield from _cut(stream)
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}.") from error


def _cut(stream: BinaryIO) -> Iterator[str]:
    is_first = True
    while line := stream.readline(MAX_LINE_BYTES):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_LINE_BYTES)):
            pass
        yield line.decode("utf-8-sig" if is_first else "utf-8", errors="replace").rstrip("\r\n")
        is_first = False
