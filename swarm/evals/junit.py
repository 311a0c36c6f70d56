"""An evaluation as JUnit XML, for continuous integration."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET  # only written here, never read

from swarm.evals.results import RunResult, ScenarioResult

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(results: Sequence[ScenarioResult]) -> str:
    """Return an evaluation as a JUnit document: a suite for each pack, a case for each scenario."""
    root = ET.Element("testsuites", name="swarm eval")
    for pack in dict.fromkeys(result.pack for result in results):
        mine = [result for result in results if result.pack == pack]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_clean(pack),
            tests=str(len(mine)),
            failures=str(sum(not result.is_green for result in mine)),
            errors=str(sum(any(run.error for run in result.runs) for result in mine)),
            time=f"{sum(run.wall_s for result in mine for run in result.runs):.3f}",
        )
        for result in mine:
            _case(suite, result)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, result: ScenarioResult) -> None:
    seconds = sum(run.wall_s for run in result.runs)
    case = ET.SubElement(
        suite,
        "testcase",
        name=_clean(result.name),
        classname=_clean(result.pack),
        file=_clean(result.path),
        time=f"{seconds:.3f}",
    )
    broken = next((run for run in result.runs if run.error), None)
    if broken is not None:
        ET.SubElement(case, "error", message=_clean(broken.error))
    elif not result.is_green:
        said = "; ".join(f"{b.threshold}: {b.got}, wanted {b.wanted}" for b in result.breaches)
        failure = ET.SubElement(case, "failure", message=_clean(said))
        failure.text = _clean("\n".join(line for run in result.runs for line in faults(run)))


def faults(run: RunResult) -> list[str]:
    """Return what went wrong in a run, a line each."""
    lines = [f"run {run.number}: {check.check}: {check.detail}" for check in run.checks
             if not check.holds]  # fmt: skip
    lines += [f"run {run.number}: drift: {line}" for line in run.drift]
    return [*lines, *([f"run {run.number}: {run.error}"] if run.error else [])]


def _clean(text: str) -> str:
    """Take out signs that no XML may hold."""
    return _NOT_XML.sub("", text)
