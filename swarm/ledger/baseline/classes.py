"""Kinds of work that were measured, and which of them stands for the others."""

from dataclasses import dataclass

from swarm.core.errors import InvalidInput
from swarm.core.registry import nearest

ANY = "any"
"""All measured kinds together."""

MEASURED = (
    "bug",
    "enhancement",
    "development support",
    "in-house support",
    "client support",
    "testing",
    "release",
    "documentation",
    "specification",
    "marketing",
    "consultancy",
    "training",
    "meeting",
    "management",
)

_STANDS_FOR = {
    "bug": "bugfix; bug fix; fix; defect; incident; debugging; maintenance",
    "enhancement": (
        "feature; software; development; programming; coding; implementation; refactoring; "
        "prototype; website; web page; app; script; automation; integration"
    ),
    "development support": "third party",
    "in-house support": "in house support; internal support; administration; admin",
    "client support": "support; customer support; customer service; helpdesk; help desk; answering",
    "testing": "test; tests; qa; quality assurance; verification; review",
    "release": "deployment; deploy; devops; operations; ops; migration; installation",
    "documentation": (
        "general documentation; docs; document; manual; writing; article; blog post; blog; text; "
        "copywriting; content; copy; newsletter; translation; localisation; localization; "
        "proofreading; editing; report; press release"
    ),
    "specification": (
        "business specification; technical specification; requirements; analysis; design; "
        "architecture; research; planning; study; market research; data analysis; ui design; "
        "graphic design; logo; illustration; strategy"
    ),
    "marketing": "social media; seo; campaign; positioning; advertising; sales; post; pitch",
    "consultancy": "consulting; advice; legal; finance; accounting",
    "training": "teaching; course; workshop; coaching",
    "meeting": "management meeting; progress meeting; board meeting; call",
    "management": (
        "staff management; project management; office management; staff recruitment; recruitment; "
        "hiring; coordination"
    ),
    ANY: "other; unknown; task; work; misc; general",
}
_MEANING = {
    word.strip(): measured for measured, words in _STANDS_FOR.items() for word in words.split(";")
} | {name: name for name in (*MEASURED, ANY)}
_SAME = frozenset(
    {
        "bugfix", "bug fix", "fix", "defect", "feature", "in house support", "support",
        "customer support", "test", "tests", "docs", "general documentation",
        "business specification", "technical specification", "consulting", "management meeting",
        "progress meeting", "board meeting", "staff management", "project management", "other",
    }
)  # fmt: skip
"""Other words for the very work that was measured; for the rest it is said what stands for it."""


@dataclass(frozen=True, slots=True)
class WorkClass:
    """A kind of work as it was named, and the measured one that stands for it."""

    named: str
    measured: str

    @property
    def note(self) -> str:
        """Say what stands for what; empty where the very work was measured."""
        if self.named == self.measured or self.named in _SAME:
            return ""
        if self.measured == ANY:
            return f"{self.named!r} was not measured: all measured kinds together stand for it"
        return f"{self.named!r} was not measured: {self.measured!r} stands for it as the nearest"


def find_class(name: str) -> WorkClass:
    """Return the kind of work a word stands for.

    Raises:
        InvalidInput: No measured kind is near; the nearest word is named.
    """
    word = " ".join(name.casefold().replace("_", " ").split())
    meaning = _MEANING.get(word) or _MEANING.get(word.replace("-", " "))
    if meaning is None:
        raise InvalidInput(
            f"class: nothing was measured under {name[:60]!r}{nearest(word, _MEANING)}"
            ' Write "other" for work of no known kind.'
        )
    return WorkClass(word, meaning)
