"""The tokens of a scope expression, with their places, so that an error can point at a character.

Quoting is per character, not per word: `patient:"Anna (1)"` is one word whose brackets and blanks are plain letters,
while its colon still separates level and name.
"""

from __future__ import annotations

from dataclasses import dataclass

from expunge.errors import InputError

SYMBOLS = {"(": "(", ")": ")", "&": "and", "|": "or", "!": "not"}
OPERATORS = ("and", "or", "not")


@dataclass(frozen=True, slots=True)
class Token:
    """A token.

    Attributes:
        kind: `(`, `)`, `and`, `or`, `not`, or `word`.
        quoted: Whether each character of `text` stood in quotes.
        place: Of its first character, from 1.
    """

    kind: str
    text: str
    quoted: tuple[bool, ...]
    place: int

    def split(self, separator: str, maximum: int = -1) -> list[str]:
        """`text` cut at separators that are not quoted, at most `maximum` times."""
        parts = [""]
        for letter, quoted in zip(self.text, self.quoted, strict=True):
            if letter == separator and not quoted and maximum != len(parts) - 1:
                parts.append("")
            else:
                parts[-1] += letter
        return parts


def tokenize(text: str, where: str) -> list[Token]:
    """Cut `text` into tokens; `InputError` for an open quotation."""
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] in SYMBOLS:
            tokens.append(Token(SYMBOLS[text[at]], text[at], (False,), at + 1))
            at += 1
        else:
            word, at = _word(text, at, where)
            tokens.append(word)
    return tokens


def _word(text: str, start: int, where: str) -> tuple[Token, int]:
    """The word that begins at `start`, and the index after it."""
    letters: list[str] = []
    quoted: list[bool] = []
    quote: int | None = None
    at = start
    while at < len(text):
        letter = text[at]
        if letter == '"':
            quote = at if quote is None else None
        elif quote is None and (letter.isspace() or letter in "()&|"):
            break
        else:
            if quote is not None and letter == "\\" and text[at + 1 : at + 2] in ('"', "\\"):
                at += 1
                letter = text[at]
            letters.append(letter)
            quoted.append(quote is not None)
        at += 1
    if quote is not None:
        raise InputError(where, f"the quotation mark at character {quote + 1} is never closed", 'add a "')
    joined = "".join(letters)
    operator = joined.lower() if joined.lower() in OPERATORS and not any(quoted) else "word"
    return Token(operator, joined, tuple(quoted), start + 1), at
