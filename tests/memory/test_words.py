"""By which words a text is found again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.memory.words import MAX_ASKED, asked, fold, subject_key, terms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("l'offre", "offres"),
        ("d\u2019été", "ÉTÉ"),
        ("boulangerie", "boulangeries"),
        ("bureaux", "bureau"),
        ("jeux", "jeu"),
        ("travaux", "travail"),
        ("livrer", "livrées"),
        ("bakery", "bakeries"),
        ("boxes", "box"),
        ("classes", "class"),
        ("planned", "plan"),
        ("moving", "move"),
        ("cœur", "coeurs"),
        ("straße", "STRASSE"),
        ("ﬁle", "files"),
    ],
)
def test_two_forms_of_a_word_meet(one: str, other: str) -> None:
    assert terms(one) == terms(other) != []


@pytest.mark.parametrize(
    ("one", "other"), [("price", "prize"), ("poisson", "poison"), ("menu", "main"), ("v2", "v3")]
)
def test_two_words_do_not_meet(one: str, other: str) -> None:
    assert terms(one) != terms(other)


def test_filler_words_and_single_signs_are_left_out() -> None:
    text = "What is it that we have? Qu'est-ce que c'est, s'il vous plaît, l'été ?"
    assert terms(text) == ["plait", *terms("été")]


def test_a_question_is_looked_up_by_its_longest_words() -> None:
    words = asked(" ".join("word" + "x" * n for n in range(40)))
    assert len(words) == MAX_ASKED
    assert words == sorted(words, key=len, reverse=True)


def test_subjects_are_compared_by_their_words_alone() -> None:
    assert subject_key("  Heures d'OUVERTURE ! ") == subject_key("heures d\u2019ouverture")
    assert subject_key("opening hours") != subject_key("opening hour")


@given(st.text(max_size=80))
def test_terms_are_folded_words_without_any_syntax(text: str) -> None:
    for term in terms(text):
        assert term.isalnum() or not term.isascii()
        assert not set(term) & set("\"'*:^()|&!@\\ \x00")
        assert fold(term) == term
