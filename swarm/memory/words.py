"""The words by which a text is found again, in English and French at once.

Every database indexes these terms, not the text, so that SQLite, Postgres and the fake find the
same: SQLite's own stemmer (`porter`) knows no French, and those of Postgres need to know the
language of a text beforehand, which for a line of chat nobody does.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

MAX_TERMS = 2_000
"""Terms kept of one text."""
MAX_ASKED = 12
"""Terms looked up of one question: the longest ones, which say most."""
MAX_LETTERS = 40

_WORD = re.compile(r"[^\W_]+")
# Scripts without spaces between words: Japanese, Chinese, Thai.
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
_LETTERS = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "đ": "d", "ł": "l"})
_STOP_WORDS = """
am an and any are as at be been but by can could did do does for from had has have he her him his
how if in into is it its me my no not of on or our out shall she should so than that the their them
then there these they this those to too up us was we were what when where which who why will with
would you your
ai ait as au aux avec avez avons ce ceci cela ces cet cette chez comme comment dans de des du elle
elles en es est et etaient etait etes etre eu fait fut il ils je jusqu la le les leur leurs lorsqu
lui ma mais me mes moi mon ne nos notre nous on ont ou par pas plus pour puisqu qu quand que quel
quelle quelles quels qui quoi quoiqu sa sans se sera ses si son sont sous sur ta te tes toi ton tu
un une vos votre vous
"""
_STOP = frozenset(_STOP_WORDS.split())


def fold(text: str) -> str:
    """Return the text in lower case without accents and ligatures."""
    if text.isascii():
        return text.lower()
    # Once more at the end: mathematical letters become capitals on the way.
    marks = unicodedata.normalize("NFKD", text.casefold()).casefold().translate(_LETTERS)
    return unicodedata.normalize("NFC", "".join(c for c in marks if not unicodedata.combining(c)))


def terms(text: str) -> list[str]:
    """Return the distinct stems of a text in their order; elided articles and filler words go."""
    return list(dict.fromkeys(_stems(text)))[:MAX_TERMS]


def subject_key(subject: str) -> str:
    """Return what subjects are compared by: their words without case, accents and signs."""
    return " ".join(_WORD.findall(fold(subject)))


def asked(query: str) -> list[str]:
    """Return the terms of a question that are looked up, the longest first."""
    return sorted(terms(query), key=lambda term: (-len(term), term))[:MAX_ASKED]


def _stems(text: str) -> Iterator[str]:
    for word in _WORD.findall(fold(text)):
        if _UNSPACED.search(word):
            yield from _pairs(word)
        elif len(word) > 1 and word not in _STOP:
            yield stem(word[:MAX_LETTERS])


def _pairs(word: str) -> Iterator[str]:
    """Cut what has no spaces into overlapping pairs of signs, as search engines do."""
    if len(word) == 1:
        yield word
    for i in range(len(word) - 1):
        yield word[i : i + 2]


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """Cut plural, gender and the commonest verb endings of a folded English or French word.

    It is light on purpose: what it cuts too much, it cuts on both sides of a comparison.
    """
    if len(word) < 4 or not word.isalpha():
        return word
    word = _singular(word)
    if word.endswith("ie"):
        return word[:-2] + "y"
    if word.endswith("ail"):
        return word[:-2] + "l"
    bare = word.rstrip("e")
    word = bare if len(bare) >= 3 else word
    return _infinitive(word)


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("eaux", "eux", "oux")):
        return word[:-1]
    if word.endswith("aux") and len(word) > 5:
        return word[:-2] + "l"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _infinitive(word: str) -> str:
    for ending in ("ing", "ed", "er"):
        root = word.removesuffix(ending)
        if root == word or len(root) < (4 if ending == "er" else 3):
            continue
        if not re.search("[aeiouy]", root):
            return word
        is_doubled = ending != "er" and root[-1] == root[-2] and root[-1] not in "lsz"
        # "moved" and "move" meet without the last "e", which `stem` cut already.
        return root[:-1] if is_doubled else root
    return word
