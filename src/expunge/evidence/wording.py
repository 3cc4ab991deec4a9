"""What letters and pages may not say, by language: claims that no test of a model carries."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["en", "de", "fr"]
LANGUAGES: tuple[Language, ...] = ("en", "de", "fr")

FORBIDDEN: dict[Language, tuple[str, ...]] = {  # regular expressions of whole words
    "en": (
        r"proofs?",
        r"prov(?:e|es|ed|en|ably)",
        r"guarant(?:ee|ees|eed|ying)",
        r"cannot",
        r"can(?:'|’)t",
        r"can not",
        r"never",
        r"impossible",
        r"(?:zero|no) risk",
        r"risk-free",
        r"completely",
        r"permanent(?:ly)?",
        r"irreversibl[ey]",
        r"compliant",
        r"certified",
        r"anonym(?:ous|ously|ized|ised)",
    ),
    "de": (
        r"beweis(?:t|en|e)?",
        r"bewiesen",
        r"garant(?:ie|iert|ieren)",
        r"k(?:ann|önnen) nicht",
        r"nie(?:mals)?",
        r"unmöglich",
        r"(?:kein|ohne) risiko",
        r"risikofrei",
        r"vollständig\w*",
        r"dauerhaft\w*",
        r"endgültig\w*",
        r"unwiderruflich\w*",
        r"konform",
        r"zertifiziert\w*",
        r"anonym\w*",
    ),
    "fr": (
        r"preuves?",
        r"prouv(?:e|é|ée|er|ent)",
        r"garanti\w*",
        r"ne peu(?:t|vent) (?:pas|plus)",
        r"jamais",
        r"impossible",
        r"(?:risque zéro|aucun risque|sans risque)",
        r"complètement",
        r"intégralement",
        r"définiti(?:f|ve|vement)",
        r"permanen(?:t|te|ce)",
        r"irréversibl\w*",
        r"conforme",
        r"certifié\w*",
        r"anonym\w*",
    ),
}
DELETED: dict[Language, str] = {  # said of an exact level alone, which names its stage
    "en": r"(?:deleted|erased|removed) from the model",
    "de": r"aus dem modell (?:gelöscht|entfernt)",
    "fr": r"(?:supprimée?s?|effacée?s?) du modèle",
}


def forbidden_words(text: str, language: Language, exact: bool = False) -> list[str]:
    """The words in `text` that may not be said, in order.

    Args:
        text: Plain text.
        language: Its language.
        exact: The level is exact for a named stage (L3), so that "deleted from the model" may be said.
    """
    rules = FORBIDDEN[language] if exact else (*FORBIDDEN[language], DELETED[language])
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(rules)})(?!\w)", re.IGNORECASE)
    return pattern.findall(re.sub(r"\s+", " ", text))
