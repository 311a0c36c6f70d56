"""What a person means by a few words, by rules alone: no model is asked what a rule can settle."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

MAX_SHORT = 60
"""A longer text is never taken for a yes, a greeting or a question about how things stand."""


def plain(text: str) -> str:
    """Fold a text for comparing: lower case, no accents, one kind of apostrophe, no end marks."""
    decomposed = unicodedata.normalize("NFKD", text.replace("\u2019", "'").casefold())
    kept = "".join(s for s in decomposed if not unicodedata.combining(s) and s != "\u20e3")
    kept = re.sub(r"[^\w\s'#/:-]", " ", kept)
    return " ".join(kept.split()).strip(" :'-")


def _list(text: str) -> frozenset[str]:
    return frozenset(plain(phrase) for phrase in text.split("|"))


_YES = _list(
    "yes|y|yep|yeah|yes please|ok|okay|ok go|sure|go|go ahead|go for it|do it|approve|approved|"
    "i approve|sign|signed|accept|accepted|i accept|agreed|fine|perfect|lgtm|looks good|"
    "sounds good|all good|ship it|great|"
    "oui|ouais|oui merci|d'accord|dac|vas-y|vas y|allez-y|on y va|valide|validé|je valide|approuve|"
    "approuvé|j'approuve|accepte|accepté|j'accepte|je signe|parfait|c'est bon|c'est parfait|"
    "ça marche|très bien|super"
)
_NO = _list(
    "no|n|nope|no thanks|reject|rejected|i reject|refuse|refused|deny|not like this|"
    "non|nan|non merci|refuse|refusé|je refuse|rejette|rejeté|je rejette|pas comme ça|pas d'accord"
)
_GREETINGS = _list(
    "hi|hello|hey|hi there|good morning|good evening|thanks|thank you|thanks a lot|cheers|"
    "salut|bonjour|bonsoir|coucou|merci|merci beaucoup|super merci|bonne nuit|good night"
)
_STOP = _list(
    "stop|pause|halt|freeze|stop everything|stop all|pause everything|emergency stop|"
    "arrête|arrête tout|arrêtez|arrêtez tout|stop tout|mets en pause|mettez en pause"
)
_STATUS = re.compile(
    r"\b(status|statut|progress|how (is|are) (it|things|we)|how far|where are we|any news|"
    r"is it (done|ready)|are you done|what are you doing|who (is )?(work|do)|when will|eta|"
    r"ou en (est|etes|es)|ca avance|des nouvelles|c'est (fini|pret)|avancement|"
    r"qui (fait|travaille)|quand est-ce|qu'est-ce que vous faites)"
)
_COST = re.compile(
    r"\b(cost|costs|how much|spent|expensive|budget|bill|price so far|receipt|"
    r"combien|cout|coute|depense|facture|cher|budget|recu)\b"
)
_QUESTION = re.compile(
    r"^(what|why|how|when|where|who|which|is|are|do|does|did|can|could|will|would|have|has|"
    r"pourquoi|comment|quand|ou|qui|quel|quelle|quels|quelles|est-ce|combien|que|qu'est-ce)\b"
)
_CORRECTION = re.compile(
    r"^(correction|actually|rather|instead|change|please change|no[ ,:]|not |make it|i meant|"
    r"plutot|en fait|change|changez|modifie|remplace|non[ ,:]|pas |je voulais dire|au lieu)"
)
_NEW_ORDER = re.compile(
    r"^\s*(new order|new task|order|nouvelle (?:commande|tache|tâche|mission)|commande)\s*:\s*",
    re.I,
)
_NUMBER = re.compile(
    r"^(?:(?:option|choice|number|no|n|choix|numero|le|la|the|i (?:choose|take|pick)|"
    r"je (?:choisis|prends)(?: la| le)?)\s*)?[#]?\s*(\d{1,2})"
    r"(?:[\s,:/-]+(?:because|since|as|for|car|parce que|parce qu'|puisque|pour)\s*(.*))?$"
)


class About(StrEnum):
    """What a question is about, as far as rules can answer it."""

    STATUS = "status"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Pick:
    """An option chosen by its number, and why where that was said."""

    number: int
    reason: str


def is_yes(text: str) -> bool:
    """Return whether a text says yes and nothing else."""
    return _is_short(text) and (plain(text) in _YES or text.strip() in ("👍", "✅", "🆗", "👌"))


def is_no(text: str) -> bool:
    """Return whether a text says no and nothing else."""
    return _is_short(text) and (plain(text) in _NO or text.strip() in ("👎", "❌", "🚫"))


def refusal(text: str) -> str | None:
    """Return the reason of a text that says no and why, such as `no, the tone is too stiff`."""
    match = re.match(
        r"\s*(?:no|non|nope|reject|refuse|rejette)\s*[,:;.!-]\s*(.+)", text, re.I | re.S
    )
    return match[1].strip() if match else None


def pick(text: str, most: int) -> Pick | None:
    """Return the option that a text chooses of 1 to `most`; None where it is no such choice."""
    match = _NUMBER.match(plain(text)) if len(text) <= 300 else None
    if match is None or not 1 <= int(match[1]) <= most:
        return None
    reason = ""
    if match[2]:
        # The folded text found it; the person's own words are kept.
        said = re.search(r"\d{1,2}\W+\S+\s+(.*)$", text.strip(), re.S)
        reason = said[1].strip() if said else match[2]
    return Pick(int(match[1]), reason)


def is_greeting(text: str) -> bool:
    """Return whether a text is a courtesy and asks for nothing."""
    return _is_short(text) and plain(text) in _GREETINGS


def is_stop(text: str) -> bool:
    """Return whether a text is a call to stop everything, and nothing else."""
    return _is_short(text) and plain(text) in _STOP


def is_question(text: str) -> bool:
    """Return whether a text asks something."""
    return text.rstrip().endswith(("?", "\uff1f")) or bool(_QUESTION.match(plain(text)))


def about(text: str) -> About | None:
    """Return what a short question about an order is about; None where no rule says so."""
    if not _is_short(text) or (not is_question(text) and len(text.split()) > 4):
        return None
    folded = plain(text)
    if _COST.search(folded):
        return About.COST
    return About.STATUS if _STATUS.search(folded) else None


def is_correction(text: str) -> bool:
    """Return whether a text begins as one that changes what was said before."""
    return bool(_CORRECTION.match(plain(text)))


def new_order(text: str) -> str | None:
    """Return what follows `new order:`, which is an order whatever else is open."""
    match = _NEW_ORDER.match(text)
    return text[match.end() :].strip() or None if match else None


def numbered_answers(text: str, count: int) -> list[str] | None:
    """Return the answers of a text with one numbered line for each of `count` questions."""
    found: dict[int, list[str]] = {}
    current: int | None = None
    for line in text.splitlines():
        match = re.match(r"\s*(\d{1,2})\s*[.):/-]\s*(.*)", line)
        if match and 1 <= int(match[1]) <= count and int(match[1]) not in found:
            current = int(match[1])
            found[current] = [match[2]]
        elif current is not None:
            found[current].append(line)
        elif line.strip():
            return None
    answers = ["\n".join(found.get(n, [])).strip() for n in range(1, count + 1)]
    return answers if count > 1 and all(answers) else None


def _is_short(text: str) -> bool:
    return len(text.strip()) <= MAX_SHORT
