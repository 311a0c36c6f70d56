"""Derive `swarm/ledger/baseline/calibration.json` from published data sets, and test it honestly.

    python -m tools.calibrate DATA            # write the quantiles
    python -m tools.calibrate DATA --report   # print how the method does on what it has not seen

DATA is a folder with the files named below. Their rows stay there: what is written are quantiles
of 40 cases or more, and medians of data sets, each with its source.
"""

import argparse
import csv
import gzip
import io
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from swarm.ledger.baseline.calibration import Calibration, borrowed, write_tasks
from swarm.ledger.baseline.classes import find_class
from swarm.ledger.baseline.cocomo import HOURS_PER_MONTH, Drivers, read_drivers
from swarm.ledger.baseline.fit import Case, fit
from swarm.ledger.baseline.history import History
from swarm.ledger.baseline.product import Product, hours_of_product
from swarm.ledger.baseline.score import Coverage, Scores, scores
from swarm.ledger.baseline.spread import GRID, Spread, of_logs
from swarm.ledger.baseline.work import CALENDAR_MONTH_HOURS

TARGET = Path(__file__).parent.parent / "swarm" / "ledger" / "baseline" / "calibration.json"
ID = "borrowed-2009-1"
SPLIT = date(2008, 6, 1)
"""Tasks estimated before it are learnt from, those of the year after it are predicted."""
FINISHED = {"COMPLETED", "FINISHED", "CHRONICLE", "RELEASED"}
SIP = "sip-train.csv.gz"
TASKS_SOURCE = (
    "Hours of {n:,} finished tasks of one British software firm, each with an estimate made before, "
    "2004 to June 2009 (SiP): Jones and Cullum, arXiv 1901.01621."
)
SOURCES = {
    "Kitchenham": (
        "Kitchenham, Pfleeger, McColl and Eagan, Journal of Systems and Software 64(1), 2002: one "
        "outsourcing firm, 1994 to 1998"
    ),
    "Maxwell": (
        "Maxwell, Applied Statistics for Software Managers, 2002: one Finnish bank, 1985 to 1993"
    ),
    "Albrecht": "Albrecht and Gaffney, IEEE TSE 9(6), 1983: IBM, 1974 to 1979",
    "COCOMO-81": "Boehm, Software Engineering Economics, 1981: TRW, 1964 to 1979",
    "Miyazaki": (
        "Miyazaki, Terakado, Ozaki and Nozaki, Journal of Systems and Software 27(1), 1994: COBOL "
        "in 20 Japanese firms"
    ),
}
CAVEAT = (
    "Quantiles and medians come from the learning side alone. A few widths (x/÷5, x/÷7, the stretch "
    "of large estimates, the share of other firms) were chosen with these tests in view: rows that "
    "nobody here has seen are the better judge."
)
PERT = ((0.75, 1.0, 1.5), (0.5, 1.0, 2.0))
"""Three-point ranges around an estimate that people like to sell."""


@dataclass(frozen=True)
class Project:
    """One finished project."""

    hours: float
    function_points: float | None = None
    ksloc: float | None = None
    months: float | None = None
    estimate: float | None = None
    drivers: Drivers = field(default_factory=Drivers)

    @property
    def size(self) -> dict[str, float]:
        """Return its size by name."""
        if self.function_points is not None:
            return {"function_points": self.function_points}
        assert self.ksloc is not None
        return {"ksloc": self.ksloc}


def read_tasks(folder: Path) -> list[Case]:
    """Return the finished tasks of the SiP data set, each once."""
    found: dict[str, Case] = {}
    with gzip.open(folder / SIP) as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, "utf-8")):
            estimate, actual = float(row["HoursEstimate"]), float(row["HoursActual"])
            is_usable = row["StatusCode"] in FINISHED and estimate > 0 and actual > 0
            if is_usable and row["TaskNumber"] not in found:
                found[row["TaskNumber"]] = Case(
                    work=_work(row["SubCategory"]),
                    actual=actual,
                    estimate=estimate,
                    elapsed=_elapsed(row, actual),
                    at=_day(row["EstimateOn"]),
                )
    return list(found.values())


def _work(name: str) -> str:
    # Bare "Support" is a kind of development there; a founder means customers by it.
    return "development support" if name == "Support" else find_class(name).measured


def _day(text: str) -> date | None:
    return datetime.strptime(text, "%d-%b-%y").replace(tzinfo=UTC).date() if text else None


def _elapsed(row: dict[str, str], actual: float) -> float | None:
    """Return elapsed hours: days are counted by nights between, the last one by the work in it."""
    begun, ended = _day(row["StartedOn"]), _day(row["CompletedOn"])
    if begun is None or ended is None or ended < begun:
        return None
    return max(actual, 24.0 * (ended - begun).days + min(actual, 8.0))


def read_projects(folder: Path) -> dict[str, list[Project]]:
    """Return the projects of the five data sets of products, by name."""
    return {
        "Kitchenham": [
            Project(
                hours=float(row["Actual.effort"]),
                function_points=float(row["Adjusted.function.points"]),
                months=float(row["Actual.duration"]) * 24 / CALENDAR_MONTH_HOURS,
                estimate=float(row["First.estimate"]),
            )
            for row in _arff(folder / "kitchenham.arff")
        ],
        "Maxwell": [
            Project(
                hours=float(row["Effort"]),
                function_points=float(row["Size"]),
                months=float(row["Duration"]),
            )
            for row in _arff(folder / "maxwell.arff")
        ],
        "Albrecht": [
            Project(hours=float(row["Effort"]) * 1000, function_points=float(row["AdjFP"]))
            for row in _arff(folder / "albrecht.arff")
        ],
        "COCOMO-81": [_cocomo_project(row) for row in _csv(folder / "COCOMO-81.csv")],
        "Miyazaki": [
            Project(hours=float(row["MM"]) * HOURS_PER_MONTH, ksloc=float(row["KLOC"]))
            for row in _arff(folder / "miyazaki94.arff")
        ],
    }


def _cocomo_project(row: dict[str, str]) -> Project:
    names = ("rely", "data", "cplx", "time", "stor", "virt", "acap", "pcap", "aexp", "vexp", "lexp")
    rated = read_drivers({name: float(row[name]) for name in (*names, "tool", "sced")})
    return Project(float(row["actual"]) * HOURS_PER_MONTH, ksloc=float(row["loc"]), drivers=rated)


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _arff(path: Path) -> Iterator[dict[str, str]]:
    names: list[str] = []
    is_data = False
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        words = line.strip()
        if words.lower().startswith("@attribute"):
            names.append(words.split()[1])
        elif words.lower().startswith("@data"):
            is_data = True
        elif is_data and words and not words.startswith("%"):
            yield dict(zip(names, (part.strip() for part in words.split(",")), strict=True))


def document(tasks: Sequence[Case], projects: dict[str, list[Project]]) -> dict[str, Any]:
    """Return the calibration as it is stored."""

    def figure(name: str, value: Callable[[Project], float], what: str) -> dict[str, Any]:
        values = sorted(value(project) for project in projects[name])
        p10, p50, p90 = (float(f"{_quantile(values, p):.3g}") for p in (0.1, 0.5, 0.9))
        source = f"{what} {p10} / {p50} / {p90} (10, 50, 90 %; n = {len(values)}): {SOURCES[name]}."
        return {
            "name": name, "count": len(values), "p10": p10, "p50": p50, "p90": p90, "source": source
        }  # fmt: skip

    return {
        "id": ID,
        "tasks": {"source": TASKS_SOURCE.format(n=len(tasks)), **write_tasks(fit(tasks))},
        "projects": {
            "hours_per_function_point": [
                figure(name, _per_point, "Hours per function point")
                for name in ("Kitchenham", "Maxwell", "Albrecht")
            ],
            "person_months_over_cocomo": [
                figure(name, _over_cocomo, "Person-months over nominal COCOMO II")
                for name in ("COCOMO-81", "Miyazaki")
            ],
            "months_over_schedule": [
                figure(name, _over_schedule, "Months over COCOMO II's nominal time")
                for name in ("Kitchenham", "Maxwell")
            ],
            "hours_over_first_estimate": [
                figure("Kitchenham", _over_estimate, "Hours over the first estimate")
            ],
        },
    }


def _per_point(project: Project) -> float:
    return project.hours / _known(project.function_points)


def _over_cocomo(project: Project) -> float:
    return project.hours / HOURS_PER_MONTH / Drivers().months_of_work(_known(project.ksloc))


def _over_schedule(project: Project) -> float:
    return _known(project.months) / Drivers().nominal_months(project.hours / HOURS_PER_MONTH)


def _over_estimate(project: Project) -> float:
    return project.hours / _known(project.estimate)


def _known(value: float | None) -> float:
    assert value is not None
    return value


def _quantile(ordered: Sequence[float], p: float) -> float:
    place = p * (len(ordered) - 1)
    index = min(int(place), len(ordered) - 2)
    return ordered[index] + (ordered[index + 1] - ordered[index]) * (place - index)


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    name: str
    scores: Scores
    is_bar: bool = False
    """True where the bar of 72 to 88 % (in time) or of at least 70 % (in transfer) holds."""

    @property
    def at_80(self) -> Coverage:
        """Return the coverage of the 80 % band."""
        return next(c for c in self.scores.coverage if c.level == 0.8)


def in_time(tasks: Sequence[Case]) -> list[Row]:
    """Learn from the tasks before `SPLIT` and predict those after it."""
    past = [case for case in tasks if _known_day(case) < SPLIT]
    later = [case for case in tasks if _known_day(case) >= SPLIT]
    table = fit(past)
    predicted = [table.ratio(c.work, _known(c.estimate)).times(_known(c.estimate)) for c in later]
    actual = [case.actual for case in later]
    rows = [Row("Route A in time: class x estimate", scores(predicted, actual), is_bar=True)]
    by_class = [table.unestimated(case.work) for case in later]
    rows.append(Row("class only", scores(by_class, actual)))
    for low, mode, high in PERT:
        naive = [pert(low, mode, high).times(_known(case.estimate)) for case in later]
        rows.append(Row(f"naive: PERT {low:g}-{mode:g}-{high:g}", scores(naive, actual)))
    for name, test in _slices():
        chosen = [index for index, case in enumerate(later) if test(case)]
        found = scores([predicted[i] for i in chosen], [actual[i] for i in chosen])
        rows.append(Row(f"  {name}", found))
    return rows


def _known_day(case: Case) -> date:
    assert case.at is not None
    return case.at


def _slices() -> list[tuple[str, Callable[[Case], bool]]]:
    sizes = ((0.0, 1.5), (1.5, 8.0), (8.0, 1e9))
    common = ("bug", "enhancement", "in-house support", "development support")
    return [
        *(
            (f"estimates from {low:g} h" + (f" to {high:g} h" if high < 1e9 else ""),
             lambda case, low=low, high=high: low <= _known(case.estimate) < high)
            for low, high in sizes
        ),
        *((name, lambda case, name=name: case.work == name) for name in common),
        ("all other kinds", lambda case: case.work not in common),
    ]  # fmt: skip


def pert(low: float, mode: float, high: float) -> Spread:
    """Return a three-point range as PERT reads it: normal, six deviations wide."""
    mean, deviation = (low + 4 * mode + high) / 6, (high - low) / 6
    grid = [mean + deviation * z for z in GRID]
    return of_logs([math.log(max(value, low / 10)) for value in grid])


def in_transfer(projects: dict[str, list[Project]], calibration: Calibration) -> list[Row]:
    """Predict each data set of products from the others alone."""
    rows = []
    for name, found in projects.items():
        without = replace(
            calibration,
            productivity=tuple(r for r in calibration.productivity if r.name != name),
            lines=tuple(r for r in calibration.lines if r.name != name),
            schedule=tuple(r for r in calibration.schedule if r.name != name)
            or calibration.schedule,
        )
        rows.append(_transferred(f"Route B leaving out {name}", found, without, is_rated=False))
        if any(project.drivers.named for project in found):
            rows.append(
                _transferred(f"Route B leaving out {name}, rated", found, without, is_rated=True)
            )
    return rows


def _transferred(
    name: str, projects: Sequence[Project], calibration: Calibration, *, is_rated: bool
) -> Row:
    predicted = [
        hours_of_product(
            Product(size=project.size, drivers=project.drivers if is_rated else Drivers()),
            calibration=calibration,
            history=History(),
        )
        for project in projects
    ]
    return Row(name, scores(predicted, [project.hours for project in projects]), is_bar=True)


def table(rows: Sequence[Row]) -> str:
    """Return the report as a Markdown table."""
    lines = [
        "| test | n | held at 50 % | held at 80 % (95 % bounds) | held at 90 % | width at 80 % | "
        "interval score at 80 % | median error in logs | bias | within 2x |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for row in rows:
        half, wide, most = row.scores.coverage
        lines.append(
            f"| {row.name.strip()} | {row.scores.count:,} | {half.share:.0%} | {wide.share:.0%} "
            f"({wide.low:.0%} to {wide.high:.0%}) | {most.share:.0%} | {wide.width:.1f}x | "
            f"{wide.interval_score:.2f} | {row.scores.median_abs_log_error:.2f} | "
            f"{row.scores.bias:.2f} | {row.scores.within_2x:.0%} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, help="folder with the data sets")
    parser.add_argument("--report", action="store_true", help="test instead of writing")
    options = parser.parse_args(argv)
    tasks, projects = read_tasks(options.data), read_projects(options.data)
    if options.report:
        rows = [*in_time(tasks), *in_transfer(projects, borrowed())]
        print(f"{table(rows)}\n\n{CAVEAT}")  # noqa: T201
        return 0
    TARGET.write_text(written(document(tasks, projects)), encoding="utf-8")
    return 0


def written(calibration: dict[str, Any]) -> str:
    """Return a calibration as text, with each list of numbers in one line."""
    text = json.dumps(calibration, indent=1, ensure_ascii=False)
    out: list[str] = []
    for line in text.split("\n"):
        stripped = line.strip()
        is_number = stripped.rstrip(",").replace(".", "", 1).replace("e-", "", 1).isdigit()
        is_end = stripped in ("]", "],") and out and out[-1][-1].isdigit()
        if is_number or is_end:
            glue = "" if out[-1].endswith("[") or is_end else " "
            out[-1] += glue + stripped
        else:
            out.append(line)
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    sys.exit(main())
