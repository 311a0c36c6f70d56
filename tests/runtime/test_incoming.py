"""Photos and documents from a phone: limits before a byte is fetched, kinds by their bytes, albums as one."""

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import InvalidInput
from swarm.core.message import InboundFile, InboundKind
from swarm.core.order import OrderStatus
from swarm.runtime.incoming import MAX_FILES
from swarm.runtime.sniffing import MAX_PIXELS, checked, sniff
from swarm.store.tables import order_notes, orders
from tests.runtime.fronts import Desk, desk

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 4, 4) + b"\0" * 9
JPEG = b"\xff\xd8\xff\xe0\0\x04ab" + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 4, 4) + b"\0" * 9


def png(wide: int, high: int) -> bytes:
    return PNG[:16] + struct.pack(">II", wide, high) + PNG[24:]


async def sends(company: Desk, *files: tuple[str, bytes], **more: Any) -> str:
    """Let Ada send files in one message; return all that she is told."""
    found = []
    for name, content in files:
        file_id = f"f{len(company.channel.files)}"
        company.channel.files[file_id] = content
        found.append(InboundFile(file_id=file_id, name=name, bytes=len(content)))
    given_text = more.pop("text", "")
    told = await company.hears(given_text, kind=InboundKind.FILE, files=tuple(found), **more)
    return "\n".join(message.text for message in told)


def workspace(company: Desk) -> dict[str, bytes]:
    """Return what was put into the workspace of the only order, by name."""
    (order,) = company.orders
    folder = company.app.home / "workspace" / order["id"] / "incoming"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_file_that_says_it_is_too_large_is_refused_before_it_is_fetched(
    home: Path,
) -> None:
    async with desk(home) as company:
        large = InboundFile(file_id="never", name="film.mp4", bytes=10**9)
        told = await company.hears("cut it", kind=InboundKind.FILE, files=(large,))
        assert "film.mp4 is larger than 0 MiB" in told[0].text
        assert company.orders == []


async def test_of_several_files_the_good_ones_are_taken_and_the_others_named(home: Path) -> None:
    async with desk(home) as company:
        said = await sends(
            company, ("notes.md", b"# Bread"), ("virus.exe", b"MZ\x90"), ("empty.txt", b""),
            ("bomb.png", png(60_000, 60_000)), text="write a page from these",
        )  # fmt: skip
        assert "is taken" in said
        assert "virus.exe is a program" in said
        assert "empty.txt is empty" in said
        assert "60,000 x 60,000 pixels" in said
        assert workspace(company) == {"notes.md": b"# Bread"}


async def test_no_more_than_ten_at_a_time(home: Path) -> None:
    async with desk(home) as company:
        many = [(f"n{number}.txt", b"x") for number in range(MAX_FILES + 2)]
        said = await sends(company, *many, text="read these")
        assert said.count("I take 10 files at a time") == 2
        assert len(workspace(company)) == MAX_FILES


async def test_two_files_of_one_name_are_both_kept(home: Path) -> None:
    async with desk(home) as company:
        await sends(company, ("photo.png", PNG), ("photo.png", png(5, 5)), text="compare")
        assert workspace(company) == {"photo.png": PNG, "photo-2.png": png(5, 5)}
        (order,) = company.orders
        text = company.state(order["id"]).text
        assert "incoming/photo.png, incoming/photo-2.png" in text


async def test_a_later_file_does_not_take_the_place_of_an_earlier_one(home: Path) -> None:
    async with desk(home) as company:
        await sends(company, ("photo.png", PNG), text="compare", message_id="m1")
        await sends(company, ("photo.png", png(5, 5)), reply_to="m1")
        assert workspace(company) == {"photo.png": PNG, "photo-2.png": png(5, 5)}
        assert "photo-2.png" in company.rows(order_notes)[0]["text"]


async def test_a_name_that_lies_about_its_bytes_is_mended(home: Path) -> None:
    async with desk(home) as company:
        await sends(
            company, ("../../etc/photo.jpg", PNG), ("report", b"%PDF-1.7"), ("sheet.xlsx", b"PK\3\4"),
            text="look",
        )  # fmt: skip
        assert set(workspace(company)) == {"photo.png", "report.pdf", "sheet.xlsx"}


async def album(company: Desk, number: int, *, text: str = "", **more: Any) -> str:
    return await sends(
        company, (f"p{number}.png", png(number + 1, 1)), text=text, album="a", **more
    )


async def test_an_album_is_one_order_with_all_its_pictures(home: Path) -> None:
    async with desk(home) as company:
        said = await album(company, 0, text="describe these")
        for number in (1, 2):
            assert await album(company, number) == "", "nobody is told twice"
        assert said.count("is taken") == 1
        assert sorted(workspace(company)) == ["p0.png", "p1.png", "p2.png"]
        text = company.state(company.orders[0]["id"]).text
        assert text.endswith("incoming/p0.png, incoming/p1.png, incoming/p2.png")


async def test_of_an_album_that_comes_after_the_start_the_rest_is_a_note(home: Path) -> None:
    async with desk(home) as company:
        await album(company, 0, text="describe these")
        working = orders.update().values(status=OrderStatus.WORKING.value)
        company.app.store.write(lambda c: c.execute(working))
        await album(company, 1)
        assert [row["text"] for row in company.rows(order_notes)] == [
            "A file came: incoming/p1.png."
        ]


async def test_an_album_without_words_waits_whole_for_them(home: Path) -> None:
    async with desk(home) as company:
        assert "p0.png" in await album(company, 0)
        assert await album(company, 1) == ""
        assert await album(company, 2) == ""
        await company.hears("describe these")
        assert sorted(workspace(company)) == ["p0.png", "p1.png", "p2.png"]
        assert len(company.orders) == 1


async def test_words_under_a_later_picture_order_all_of_them(home: Path) -> None:
    async with desk(home) as company:
        await album(company, 0)
        await album(company, 1, text="describe these")
        assert sorted(workspace(company)) == ["p0.png", "p1.png"]


async def test_an_album_in_a_group_is_meant_for_us_where_its_words_are(home: Path) -> None:
    async with desk(home, telegram__groups="-100") as company:
        where: dict[str, Any] = {"chat_id": "-100", "is_private": False}
        await album(company, 0, text="describe", is_addressed=True, **where)
        await album(company, 1, is_addressed=False, **where)
        await sends(company, ("other.png", PNG), is_addressed=False, album="b", **where)
        assert sorted(workspace(company)) == ["p0.png", "p1.png"]


async def test_an_album_has_no_more_than_ten(home: Path) -> None:
    async with desk(home) as company:
        await album(company, 0, text="describe these")
        for number in range(1, MAX_FILES):
            assert await album(company, number) == ""
        assert "10 files at a time" in await album(company, MAX_FILES)
        assert len(workspace(company)) == MAX_FILES


@given(st.binary(max_size=80), st.text(max_size=20), st.sampled_from([b"", PNG, JPEG, b"GIF89a"]))
def test_no_bytes_break_the_look_at_them(noise: bytes, name: str, head: bytes) -> None:
    try:
        found, mime = checked(name, head + noise)
    except InvalidInput as error:
        assert str(error).endswith((".", ""))  # noqa: PT017  # either outcome is right
    else:
        assert "/" in mime
        assert isinstance(found, str)


@given(st.integers(1, 65_535), st.integers(1, 65_535))
def test_a_picture_is_measured_by_its_head_alone(wide: int, high: int) -> None:
    is_large = wide * high > MAX_PIXELS
    jpeg = JPEG.replace(struct.pack(">HH", 4, 4), struct.pack(">HH", high, wide))
    gif = b"GIF89a" + struct.pack("<HH", wide, high)
    for name, content in (("p.png", png(wide, high)), ("p.jpg", jpeg), ("p.gif", gif)):
        if is_large:
            with pytest.raises(InvalidInput, match="pixels"):
                checked(name, content)
        else:
            assert checked(name, content)[0] == name


def test_kinds_are_told_by_their_first_bytes() -> None:
    assert sniff(PNG).mime == "image/png"
    assert sniff("plain wörds".encode()).mime == "text/plain"
    assert sniff(b"\0\1\2").mime == "application/octet-stream"
