"""Plots as SVG text, and a report as one HTML file: no library, no script, nothing fetched.

`svg` draws bars and a line with points; `plots` chooses what a report shows; `page` writes the file.
"""

from swarm.ledger.charts.page import page
from swarm.ledger.charts.plots import Plot, plots

__all__ = ["Plot", "page", "plots"]
