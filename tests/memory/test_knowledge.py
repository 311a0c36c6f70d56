"""The knowledge folder: what is found in it, what is left out, and when it is read again."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.memory.knowledge import MAX_FILE_BYTES, PASSAGE_SIGNS, Knowledge, cited
from swarm.memory.knowledge_text import read_html, read_markdown, read_plain

PRICES = """---
title: internal
---
# Prices

Ask us.

## Bread

A loaf costs 6 euros.

```
# not a heading
```

## Refunds
Bread that you do not like is taken back on the same day.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a file."""
    made = tmp_path / "knowledge"
    made.mkdir()
    (made / "prices.md").write_text(PRICES, encoding="utf-8")
    return made


def test_a_passage_is_found_with_its_file_and_heading(folder: Path) -> None:
    (folder / "fr").mkdir()
    (folder / "fr" / "livraison.txt").write_text("Nous livrons à Lyon le dimanche.", "utf-8")
    knowledge = Knowledge(folder)
    best = knowledge.find("How much is a loaf of bread?", limit=3)[0]
    assert best.source == "prices.md > Prices > Bread"
    assert "6 euros" in best.text
    assert "# not a heading" in best.text
    (french,) = knowledge.find("Vous livrez le dimanche ?", limit=3)
    assert french.source == "fr/livraison.txt"
    assert cited([best, best, french]) == f"{best.source}; fr/livraison.txt"
    assert knowledge.find("internal", limit=3) == []
    assert knowledge.find("", limit=3) == []
    assert knowledge.find("quantum chromodynamics", limit=3) == []


def test_unknown_words_hide_no_answer(folder: Path) -> None:
    noise = "kubernetes zweitausend obfuscation incomprehensibilities authorisations"
    found = Knowledge(folder).find(f"{noise}: what costs a loaf?", limit=1)
    assert [p.source for p in found] == ["prices.md > Prices > Bread"]


def test_a_changed_file_is_read_again_and_a_deleted_one_forgotten(folder: Path) -> None:
    knowledge = Knowledge(folder)
    assert "6 euros" in knowledge.find("loaf", limit=1)[0].text
    (folder / "prices.md").write_text("# Prices\n\nA loaf costs 7 euros.\n", encoding="utf-8")
    assert "7 euros" in knowledge.find("loaf", limit=1)[0].text
    (folder / "more.md").write_text("A baguette costs 1 euro.", encoding="utf-8")
    assert "1 euro" in knowledge.find("baguette", limit=1)[0].text
    (folder / "prices.md").unlink()
    assert knowledge.find("loaf", limit=1) == []
    assert knowledge.shelf().files == ("more.md",)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    knowledge = Knowledge(tmp_path / "none")
    assert knowledge.find("loaf", limit=1) == []
    assert knowledge.shelf().files == ()


def test_links_hidden_files_other_kinds_and_large_files_are_left_out(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.md").write_text("The loaf safe opens with 1234.", encoding="utf-8")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "outside").symlink_to(tmp_path)
    (folder / ".hidden.md").write_text("A loaf of secrets.", encoding="utf-8")
    (folder / "plan.pdf").write_bytes(b"%PDF-1.7 loaf")
    (folder / "latin.txt").write_bytes(b"un caf\xe9 loaf")
    (folder / "large.txt").write_bytes(b"loaf " * (MAX_FILE_BYTES // 5 + 1))
    os.mkfifo(folder / "pipe.md")
    knowledge = Knowledge(folder)
    assert knowledge.shelf().files == ("prices.md",)
    assert {p.file for p in knowledge.find("loaf secrets safe", limit=9)} == {"prices.md"}
    assert set(knowledge.shelf().left_out) == {
        "link.md",
        "plan.pdf",
        "latin.txt",
        "large.txt",
        "pipe.md",
    }


def test_a_page_is_read_as_it_is_shown() -> None:
    page = (
        "<html><head><title>x</title><style>b{}</style></head><body><h1>Prices</h1><p>A loaf "
        "costs&nbsp;6 &euro;<script>alert(1)</script></p><h2>Cake<br></h2><ul><li>One</li><li>Two"
        "</li></ul></body></html>"
    )
    first, second = read_html(page)
    assert (first.heading, first.text) == ("Prices", "A loaf costs 6 €")
    assert second.heading == "Prices > Cake"
    assert second.text.split() == ["One", "Two"]


@given(st.text(max_size=400))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for read in (read_markdown, read_plain, read_html):
        for section in read(text):
            assert section.text.strip()


def test_a_long_text_is_cut_into_passages_that_lose_no_word(folder: Path) -> None:
    words = [f"word{n}" for n in range(2_000)]
    (folder / "long.txt").write_text(" ".join(words), encoding="utf-8")
    knowledge = Knowledge(folder)
    found = [p for n in (3, 777, 1_999) for p in knowledge.find(f"word{n}", limit=1)]
    assert len(found) == 3
    assert all(len(p.text) <= PASSAGE_SIGNS for p in found)
    assert knowledge.shelf().passages > 10


def test_hundreds_of_files_are_read_and_searched_within_moments(folder: Path) -> None:
    for number in range(300):
        text = "\n\n".join(
            f"Paragraph {n} on topic {number * n % 997} of bread." for n in range(40)
        )
        (folder / f"f{number}.md").write_text(text, encoding="utf-8")
    knowledge = Knowledge(folder)
    knowledge.shelf()
    began = time.process_time()
    assert knowledge.find("What is topic 640 on bread?", limit=4)
    assert time.process_time() - began < 1.0
