"""PDFs of the knowledge folder, made here, harmless and hostile."""

import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from swarm.core.errors import InvalidInput
from swarm.memory import pdf
from swarm.memory.knowledge import Knowledge


def made(*pages: str) -> bytes:
    """Write a PDF by hand, one line of text a page."""
    return _written([zlib.compress(f"BT /F1 12 Tf 72 720 Td ({p}) Tj ET".encode()) for p in pages])


def _written(streams: list[bytes]) -> bytes:
    first = 4
    kids = " ".join(f"{first + 2 * n} 0 R" for n in range(len(streams)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, stream in enumerate(streams):
        contents = first + 2 * number + 1
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R"
            b" >> >> /Contents " + f"{contents} 0 R >>".encode()
        )
        head = f"<< /Length {len(stream)} /Filter /FlateDecode >>\nstream\n".encode()
        objects.append(head + stream + b"\nendstream")
    body, places = b"%PDF-1.4\n", []
    for number, item in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n".encode() + item + b"\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return body + tail.encode() + f"startxref\n{len(body)}\n%%EOF\n".encode()


def test_what_stands_on_a_page_is_found_and_cited_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "prices.pdf").write_bytes(made("We bake each morning.", "A loaf costs 6 euros."))
    knowledge = Knowledge(tmp_path)
    (best, *_) = knowledge.find("what does a loaf cost", limit=3)
    assert best.source == "prices.pdf > page 2"
    assert best.text == "A loaf costs 6 euros."
    assert pdf.read_pdf(made("a", "b", "c"), pages=0) == pdf.Pdf(3, ())


def test_a_pdf_that_cannot_be_read_is_named_once_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    real = pdf.read_pdf

    def read(content: bytes) -> pdf.Pdf:
        tries.append(1)
        return real(content)

    monkeypatch.setattr(pdf, "read_pdf", read)
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing that is one")
    (tmp_path / "scan.pdf").write_bytes(made(" "))
    (tmp_path / "good.md").write_text("A loaf costs 6 euros.\n", encoding="utf-8")
    knowledge = Knowledge(tmp_path)
    for _ in range(3):
        assert [p.source for p in knowledge.find("loaf", limit=3)] == ["good.md"]
    left = knowledge.shelf().left_out
    assert "damaged" in left["broken.pdf"]
    assert "pictures" in left["scan.pdf"]
    assert len(tries) == 2
    (tmp_path / "broken.pdf").write_bytes(made("A loaf is green."))
    assert len(knowledge.find("loaf", limit=3)) == 2


def test_the_reader_cannot_take_more_memory_than_it_may() -> None:
    folder = Path(pdf.__file__).parent
    script = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import pdf_child; pdf_child._bound()\n"
        "bytearray(pdf_child.MEMORY_BYTES)"
    )
    words = [sys.executable, "-I", "-c", script]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "MemoryError" in ended.stderr


def test_a_page_that_unpacks_without_end_ends_its_reader_and_nobody_else() -> None:
    bomb = zlib.compress(zlib.compress(b"(x) Tj " * (16 * 1024 * 1024), 1), 9)
    assert len(bomb) < 1024 * 1024
    hostile = _written([bomb]).replace(
        b"/Filter /FlateDecode", b"/Filter [/FlateDecode /FlateDecode]"
    )
    with pytest.raises(InvalidInput, match=r"time or memory|damaged"):
        pdf.read_pdf(hostile)


def test_an_endless_reader_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text("import time\ntime.sleep(60)\n", encoding="utf-8")
    monkeypatch.setattr(pdf, "_CHILD", child)
    monkeypatch.setattr(pdf, "WAIT_S", 0.5)
    with pytest.raises(InvalidInput, match="took more than"):
        pdf.read_pdf(made("x"))
