"""When two texts are the same text, whoever's record they stand in.

The same: another case, other white space, another Unicode form of the same letters, a typographic apostrophe or hyphen.
"""

from __future__ import annotations

import unicodedata

from expunge.corpus.record import Record, content_id

SAME = str.maketrans(
    {**dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff")}
    | dict.fromkeys("‘’ʼ`´", "'")
    | dict.fromkeys("\u2010\u2011", "-")
    | {"ẞ": "ß"}
)


def fold(text: str) -> str:
    """`text` in a form in which equal texts are equal: NFKC, without case (ß stays apart from ss), single spaces."""
    if text.isascii():
        return " ".join(text.replace("`", "'").lower().split())
    text = unicodedata.normalize("NFKC", text).translate(SAME)
    text = unicodedata.normalize("NFKC", "ß".join(part.casefold() for part in text.split("ß")))
    return " ".join(text.split())


def content_key(record: Record) -> str:
    """Equal for records that say the same: turns before the prompt, prompt, answer (all folded) and picture.

    It does not depend on id, subject or any other field. The two texts of a document are one.
    """
    prompt, answer = record.prompt, record.answer
    if record.kind == "document":
        prompt, answer = "", prompt + answer
    turns = (fold(text) for turn in record.history for text in (turn.role, turn.content))
    image = record.image.digest if record.image else ""
    return content_id(fold(prompt), fold(answer), "\0".join((image, *turns)))
