"""The borrowed calibration: quantiles derived from published data sets, each with its source.

`tools/calibrate.py` makes `calibration.json`; the rows it was derived from are not kept here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from swarm.ledger.baseline.fit import Band, Cell, TaskTable


@dataclass(frozen=True, slots=True)
class Reference:
    """One data set's figure for its projects."""

    name: str
    count: int
    p10: float
    p50: float
    p90: float
    source: str


@dataclass(frozen=True)
class Calibration:
    """All that is borrowed."""

    id: str
    tasks: TaskTable
    productivity: tuple[Reference, ...]
    """Hours per function point."""
    lines: tuple[Reference, ...]
    """Person-months over what COCOMO II gives for the source lines with nominal drivers."""
    schedule: tuple[Reference, ...]
    """Calendar months over COCOMO II's nominal time for the person-months really spent."""
    estimates: Reference
    """Hours of whole projects over their first estimate."""
    task_source: str


@cache
def borrowed() -> Calibration:
    """Return the calibration that comes with Swarm; read on first use."""
    text = files(__package__).joinpath("calibration.json").read_text(encoding="utf-8")
    return read_calibration(json.loads(text))


def read_calibration(document: Mapping[str, Any]) -> Calibration:
    """Return the calibration that a document holds."""
    projects = document["projects"]

    def references(name: str) -> tuple[Reference, ...]:
        return tuple(Reference(**row) for row in projects[name])

    return Calibration(
        id=document["id"],
        tasks=read_tasks(document["tasks"]),
        productivity=references("hours_per_function_point"),
        lines=references("person_months_over_cocomo"),
        schedule=references("months_over_schedule"),
        estimates=references("hours_over_first_estimate")[0],
        task_source=document["tasks"]["source"],
    )


def read_tasks(document: Mapping[str, Any]) -> TaskTable:
    """Return the table of tasks that `write_tasks` wrote."""
    return TaskTable(
        bands=tuple(
            Band(
                middle=band["middle"],
                ratio=_cells(band["ratio"]),
                elapsed=_cell(band["elapsed"]) if band["elapsed"] else None,
            )
            for band in document["bands"]
        ),
        hours=_cells(document["hours"]),
        elapsed=_cells(document["elapsed"]),
    )


def write_tasks(table: TaskTable) -> dict[str, Any]:
    """Return a table of tasks as a JSON document."""
    return {
        "bands": [
            {
                "middle": float(f"{band.middle:.4g}"),
                "ratio": _documents(band.ratio),
                "elapsed": _document(band.elapsed) if band.elapsed else None,
            }
            for band in table.bands
        ],
        "hours": _documents(table.hours),
        "elapsed": _documents(table.elapsed),
    }


def _cells(document: Mapping[str, Any]) -> dict[str, Cell]:
    return {work: _cell(cell) for work, cell in document.items()}


def _cell(document: Mapping[str, Any]) -> Cell:
    return Cell(document["n"], tuple(document["q"]))


def _documents(cells: Mapping[str, Cell]) -> dict[str, Any]:
    return {work: _document(cell) for work, cell in cells.items()}


def _document(cell: Cell) -> dict[str, Any]:
    return {"n": cell.count, "q": list(cell.quantiles)}
