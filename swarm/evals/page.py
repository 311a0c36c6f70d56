"""An evaluation as one HTML page: no script, nothing fetched, a timeline for every order."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from typing import Any

from swarm.core.clock import parse_iso
from swarm.evals.junit import faults
from swarm.evals.results import RunResult, ScenarioResult

WIDTH, LANE, HEAD = 900, 22, 150
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1080px;padding:0 1rem;
color:#1d2330;background:#fff}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #dde1e8;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.ok{color:#146c43}.bad{color:#b02a37;font-weight:600}
details{border:1px solid #dde1e8;border-radius:6px;padding:.5rem .8rem;margin:.6rem 0}
summary{cursor:pointer;font-weight:600}svg{max-width:100%;height:auto}
code{font:13px/1.4 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
.q{color:#5b6473}
@media(prefers-color-scheme:dark){body{background:#14171d;color:#e4e7ec}
th,td,details{border-color:#323945}.ok{color:#63c68c}.bad{color:#ff8591}.q{color:#98a2b3}
text{fill:#e4e7ec}}
"""
_COLOURS = {"model": "#4c78d0", "tool": "#3f9c76", "asked": "#c58a1b", "person": "#8a5cc2"}
_FAULT = "#c9313f"


def page(document: dict[str, Any], results: Sequence[ScenarioResult]) -> str:
    """Return the page of an evaluation."""
    totals = document["totals"]
    rows = "".join(_row(number, result) for number, result in enumerate(results))
    parts = "".join(_details(number, result) for number, result in enumerate(results))
    costs = ", ".join(_cost(cost) for cost in totals["costs"]) or "nothing"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>Evaluation: {totals['green']} of {totals['scenarios']} green</title>"
        f"<style>{_STYLE}</style><h1>Evaluation</h1>"
        f"<p>{totals['green']} of {totals['scenarios']} scenarios green, {totals['passed']} of "
        f"{totals['runs']} runs passed; {totals['calls']} model calls, {escape(costs)}; "
        f"{totals['wall_s']:g} s. Swarm {escape(document['swarm'])}.</p>"
        '<p class="q">Authored answers prove wiring, accounting and policy; they say nothing of '
        "how well a model would answer new orders.</p>"
        "<table><tr><th>Scenario<th>Pack<th>Answers<th class=n>pass@1<th class=n>pass^k"
        "<th class=n>Cost<th class=n>Founder min<th class=n>Wall s<th>Drift</tr>"
        f"{rows}</table>{parts}</html>\n"
    )


def _row(number: int, result: ScenarioResult) -> str:
    first = result.runs[0]
    kind = "ok" if result.is_green else "bad"
    drift = sum(bool(run.drift) for run in result.runs)
    costs = ", ".join(_cost(cost) for cost in first.costs)
    wall = sum(run.wall_s for run in result.runs) / len(result.runs)
    answers = ", ".join(sorted(set(first.provenance))) or "-"
    return (
        f'<tr><td><a class={kind} href="#s{number}">{escape(result.name)}</a>'
        f"<td>{escape(result.pack)}<td>{escape(answers)} ({escape(first.mode)})"
        f"<td class=n>{result.pass_at_1:g}<td class=n>{result.pass_k:g}"
        f"<td class=n>{escape(costs)}<td class=n>{first.founder_minutes:g}"
        f"<td class=n>{wall:.2f}<td>{drift or '-'}</tr>"
    )


def _details(number: int, result: ScenarioResult) -> str:
    is_open = "" if result.is_green else " open"
    mark = "ok" if result.is_green else "bad"
    breaches = "".join(
        f"<p class=bad>{escape(b.threshold)}: {escape(b.got)}, wanted {escape(b.wanted)}</p>"
        for b in result.breaches
    )
    runs = "".join(_run(run) for run in result.runs)
    return (
        f'<details id="s{number}"{is_open}><summary class={mark}>{escape(result.name)}</summary>'
        f"<p class=q>{escape(result.path)} {escape(' '.join(result.tags))}</p>{breaches}{runs}"
        "</details>"
    )


def _run(run: RunResult) -> str:
    checks = "".join(
        f"<tr><td class={'ok' if check.holds else 'bad'}>"
        f"{'skipped' if check.is_skipped else 'holds' if check.holds else 'fails'}"
        f"<td><code>{escape(check.check)}</code><td>{escape(check.detail)}</tr>"
        for check in run.checks
    )
    said = "".join(f"<p class=bad>{escape(line)}</p>" for line in faults(run) if "drift" in line)
    broken = f"<p class=bad>{escape(run.error)}</p>" if run.error else ""
    orders = "".join(
        _order(order, [step for step in run.steps if step["order"] == number])
        for number, order in enumerate(run.orders, start=1)
    )
    return f"<h3>Run {run.number}</h3>{broken}{said}<table>{checks}</table>{orders}"


def _order(order: dict[str, Any], steps: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(step['at'][11:19])}<td>{escape(step['place'])}<td>{escape(step['who'])}"
        f"<td class={'bad' if step['fault'] else 'q'}>{escape(step['fault'] or step['kind'])}"
        f"<td>{escape(step['what'])}<td><code>{escape(step['text'][:240])}</code></tr>"
        for step in steps
    )
    return (
        f"<p><b>{escape(order['id'])}</b> {escape(order['status'])}: "
        f"{escape(order['text'][:200])}</p>{_timeline(steps)}"
        f"<details><summary>{len(steps)} steps</summary><table>{rows}</table></details>"
    )


def _timeline(steps: list[dict[str, Any]]) -> str:
    """Draw who was at work when, a lane for each place."""
    timed = [(parse_iso(step["at"]), step) for step in steps if step["at"]]
    if not timed:
        return ""
    lanes = list(dict.fromkeys(step["place"] or step["who"] for _, step in timed))
    start = min(at.timestamp() - step["latency_s"] for at, step in timed)
    span = max(max(at.timestamp() for at, _ in timed) - start, 0.001)
    bars = "".join(_bars(timed, lanes, start, span))
    names = "".join(
        f'<text x="0" y="{number * LANE + 15}" font-size="12">{escape(lane[:22])}</text>'
        for number, lane in enumerate(lanes)
    )
    height = len(lanes) * LANE + 4
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        f'aria-label="Timeline of {len(steps)} steps over {span:.1f} seconds">{names}{bars}</svg>'
    )


def _bars(
    timed: list[tuple[datetime, dict[str, Any]]], lanes: list[str], start: float, span: float
) -> Iterator[str]:
    scale = (WIDTH - HEAD - 4) / span
    for at, step in timed:
        lane = lanes.index(step["place"] or step["who"])
        left = HEAD + (at.timestamp() - step["latency_s"] - start) * scale
        width = max(step["latency_s"] * scale, 3)
        colour = _FAULT if step["fault"] else _COLOURS.get(step["kind"], "#888")
        yield (
            f'<rect x="{left:.1f}" y="{lane * LANE + 4}" width="{width:.1f}" height="{LANE - 8}" '
            f'rx="2" fill="{colour}"><title>{escape(step["who"])}: {escape(step["what"])} '
            f"{escape(step['fault'])}</title></rect>"
        )


def _cost(cost: dict[str, str]) -> str:
    least = "at least " if cost["status"] == "unpriced" else ""
    return f"{least}{cost['amount']} {cost['currency']} {cost['status']}"
