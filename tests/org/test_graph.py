"""The picture in the README is drawn from the code."""

import re
from pathlib import Path

from swarm.org.graph import mermaid, order_graph, task_graph

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_shows_the_graph_as_the_code_draws_it() -> None:
    shown = re.search(r"```mermaid\n(.*?)\n```", README.read_text(), re.DOTALL)
    assert shown is not None
    assert shown.group(1) == mermaid()


def test_every_edge_of_the_compiled_graphs_is_in_the_picture() -> None:
    picture = mermaid()
    for graph in (order_graph(), task_graph()):
        for edge in graph.get_graph().edges:
            if edge.source.startswith("__") or edge.target.startswith("__"):
                continue
            drawn = rf"{edge.source} (-->|-- .* -->) {edge.target}"
            assert re.search(drawn, picture), f"{edge.source} to {edge.target} is missing"
