"""Which language a text is written in: a hint from its commonest words.

The maintained detectors weigh 25 to 100 MB; an order needs the answer for a handful of languages
before any model is asked, so that the first prompt can already demand the right one.
"""

import re

NAMES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip
"""ISO 639-1 codes the company writes in, with the English name used in prompts."""

_WORDS = {
    "de": "der die das und ist nicht ein eine einen für mit auf wir ich sie schreibe schreib baue unser unsere von zu den dem im über bitte wie was mache erstelle",
    "en": "the and is are a an to of for with our we you it in on that this write build make please what how from create",
    "es": "el la los las y es un una para con nuestro nuestra que de en por escribe crea haz cómo qué del al nuestros sobre",
    "fr": "le la les et est un une des pour avec notre nos que de du en sur dans au aux écris rédige crée fais comment quel quelle qui vous nous je ce cette l d",
    "it": "il lo gli e è un una per con nostro nostra che di del della in su scrivi crea fai come alla dei delle",
    "nl": "de het een en is niet voor met onze wij ik van op schrijf maak bouw hoe wat naar dat",
    "pt": "o os as e é um uma para com nosso nossa que de do da em por escreva crie faça como dos das não",
}
_STOPWORDS = {code: frozenset(words.split()) for code, words in _WORDS.items()}
_SCRIPTS = (
    ("ja", r"[぀-ヿ]"),
    ("ko", r"[가-힯]"),
    ("zh", r"[一-鿿]"),
    ("ar", r"[؀-ۿ]"),
    ("he", r"[֐-׿]"),
    ("hi", r"[ऀ-ॿ]"),
    ("el", r"[Ͱ-Ͽ]"),
    ("ru", r"[Ѐ-ӿ]"),
)
_UKRAINIAN = re.compile("[іїєґ]")
"""Letters that tell it from Russian; a text has only a few of them."""


def detect(text: str) -> str | None:
    """Return the ISO 639-1 code the text is most likely written in, or None when unsure.

    Unsure means: no known script, and no language leads the next one by two common words or by half.
    """
    sample = text[:20_000].lower()
    for code, pattern in _SCRIPTS:
        if len(re.findall(pattern, sample)) * 4 > len(re.findall(r"\w", sample)):
            return "uk" if code == "ru" and _UKRAINIAN.search(sample) else code
    words = re.findall(r"[^\W\d_]+", sample)
    scores = sorted(
        ((sum(w in known for w in words), code) for code, known in _STOPWORDS.items()), reverse=True
    )
    (best, code), (second, _) = scores[0], scores[1]
    return code if best and (best - second >= 2 or best >= 1.5 * second) else None
