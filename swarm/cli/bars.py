"""Bars in the terminal, as wide as it is."""

from collections.abc import Sequence

from rich.bar import Bar as RichBar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from swarm.core.text import clean_text
from swarm.ledger.charts.plots import Plot


def draw(plots: Sequence[Plot], console: Console | None = None) -> None:
    """Draw those plots that are bars; curves are for the page and the files."""
    console = console or Console()
    for plot in plots:
        if not plot.bars:
            continue
        console.print()
        console.print(Text(clean_text(plot.title), style="bold"))
        console.print(_table(plot))


def _table(plot: Plot) -> Table:
    longest = max(bar.value for bar in plot.bars) or 1.0
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for bar in plot.bars:
        color = "cyan" if bar.is_soft else "blue"
        # As texts: a model's name in brackets is no style of ours.
        table.add_row(
            Text(clean_text(bar.name)),
            RichBar(longest, 0, bar.value, color=color),
            Text(clean_text(bar.text)),
        )
    return table
