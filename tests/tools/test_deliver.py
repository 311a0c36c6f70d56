"""What counts as delivered."""

from pathlib import Path

import pytest

from swarm.core.errors import ToolError
from swarm.tools.base import ToolContext, ToolResult
from swarm.tools.deliver import Deliver, DeliverArguments
from swarm.tools.files import write_text


async def deliver(folder: Path, path: str) -> ToolResult:
    context = ToolContext(workspace=folder, role="cto", task_id="t1")
    return await Deliver().run(DeliverArguments(path=path, summary="The page."), context)


async def test_a_file_with_content_is_delivered_under_its_stored_name(tmp_path: Path) -> None:
    write_text(tmp_path, "cafe\u0301/index.html", "<h1>")
    result = await deliver(tmp_path, "cafe\u0301/index.html")
    assert result.delivered == ("caf\u00e9/index.html",)
    assert result.content == "Delivered caf\u00e9/index.html (4 bytes): The page."
    assert not result.is_error


async def test_an_empty_a_missing_and_an_outside_file_are_not_delivered(tmp_path: Path) -> None:
    write_text(tmp_path, "outside", "secret")
    write_text(tmp_path / "ws", "empty", "")
    (tmp_path / "ws" / "link").symlink_to(tmp_path / "outside")
    for path, word in (
        ("empty", "is empty"),
        ("missing", "does not exist"),
        ("link", "is a link"),
        ("../outside", "only names"),
    ):
        with pytest.raises(ToolError, match=word):
            await deliver(tmp_path / "ws", path)
