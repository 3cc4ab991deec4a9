"""Parses scope expressions; `not` binds tighter than `and`, `and` tighter than `or`.

    patient:P-0012    institution:H1/patient:P-0012    subject:X    ids:a,b,c    ids:@ids.txt    topic=Surgery
    kind=cloze and not (patient:P-1 or patient:"Anna Müller")    @predicates.txt    file:letters/
    mentions:"Jürgen Müller"    mentions:@people.yaml    mentions:!"a word that most records hold"

Files are read here, once: a parsed scope no longer depends on them. A predicate file holds one expression per line, any
of which may match; blank lines and lines that begin with `#` are left out, and paths in it start from its own folder.
A file of people holds YAML lines `name: [alias, alias]`; each of them must be mentioned.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from expunge._text_file import read_text
from expunge.corpus.text_folding import fold
from expunge.errors import InputError
from expunge.scope.ast import AllOf, AnyOf, Equals, Expression, HasId, InNode, Not
from expunge.scope.lexer import Token, tokenize
from expunge.scope.mentions import InFile, Mentions

MAX_DEPTH = 100  # of nested brackets and `not`s
MAX_FILES = 1000  # predicate files that are read for one scope, each time that one is named
MAX_CHAIN = 32  # predicate files that name one another
MAX_LETTERS = 1_000_000  # of an expression


def parse(text: str, where: str = "scope", folder: Path = Path()) -> Expression:
    """The expression of `text`; `InputError` names the character where it cannot be read."""
    return _parse(text, where, folder, (), [])


def _parse(text: str, where: str, folder: Path, files: tuple[Path, ...], read: list[Path]) -> Expression:
    if len(text) > MAX_LETTERS:
        raise InputError(
            where, f"has more than {MAX_LETTERS:,} characters", "write ids or names into a file: ids:@file"
        )
    for place, letter in enumerate(text, 1):
        if letter == "\0" or "\ud800" <= letter <= "\udfff":
            what = f"holds a NUL or half a surrogate pair at character {place}"
            raise InputError(where, what, "write it as UTF-8 text")
    return _Parser(tokenize(text, where), where, folder, files, read).expression()


class _Parser:
    """Parses one expression; `files` are those in whose lines it stands, `read` all that were read for the scope."""

    def __init__(
        self, tokens: list[Token], where: str, folder: Path, files: tuple[Path, ...], read: list[Path]
    ) -> None:
        self.tokens, self.where, self.folder, self.files, self.read = tokens, where, folder, files, read
        self.at = self.depth = 0

    def expression(self) -> Expression:
        if not self.tokens:
            raise InputError(self.where, "the scope is empty", "name what to forget, for example patient:P-0012")
        term = self.either()
        if self.next():
            word = self.tokens[self.at]
            hint = 'join scopes with "and" or "or"; quote names that hold a blank'
            hint = "remove it" if word.kind == ")" else hint
            raise self.error(f'unexpected "{word.text}"', word, hint)
        return term

    def next(self) -> str:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else ""

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def error(self, what: str, word: Token, hint: str) -> InputError:
        return InputError(self.where, f"{what} at character {word.place}", hint)

    def either(self) -> Expression:
        terms = [self.both()]
        while self.next() == "or":
            self.take()
            terms.append(self.both())
        return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))

    def both(self) -> Expression:
        terms = [self.single()]
        while self.next() == "and":
            self.take()
            terms.append(self.single())
        return terms[0] if len(terms) == 1 else AllOf(tuple(terms))

    def single(self) -> Expression:
        if not self.next():
            last = self.tokens[-1]
            raise self.error(f'nothing follows "{last.text}"', last, "add a scope, or remove it")
        word = self.take()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} brackets inside one another", word, "write it simpler")
        term = self.inner(word)
        self.depth -= 1
        return term

    def inner(self, word: Token) -> Expression:
        if word.kind == "not":
            return Not(self.single())
        if word.kind == "(":
            term = self.either()
            if self.next() != ")":
                raise self.error('the "(" is never closed: it stands', word, 'add a ")"')
            self.take()
            return term
        if word.kind != "word":
            raise self.error(f'unexpected "{word.text}"', word, "put a scope such as patient:P-0012 there")
        return self.leaf(word)

    def leaf(self, word: Token) -> Expression:
        if word.text.startswith("@") and not word.quoted[0]:
            return self.predicates(word.text[1:])
        head, *rest = word.split(":", 1)
        if rest and head == "ids":
            return self.ids(word)
        if rest and head == "mentions":
            return self.mentions(word)
        if rest and head == "file" and rest[0]:
            return InFile(rest[0])
        if len(pair := word.split("=", 1)) == 2 and all(pair) and (not rest or len(pair[0]) < len(head)):
            return Equals(*pair)
        if len(word.split(",")) > 1:
            raise self.error(f'"," in "{word.text}"', word, 'join scopes with "or"; quote names that hold a comma')
        level, _, name = word.text.partition(":")
        if not level or not name:
            raise self.error(
                f'"{word.text}" names nothing', word, "write level:name, attribute=value, ids:…, mentions:… or @file"
            )
        return Equals("subject", rest[0]) if rest and head == "subject" else InNode(word.text)

    def ids(self, word: Token) -> Expression:
        names = word.split(",")
        names[0] = names[0][len("ids:") :]
        if names[0].startswith("@"):
            names = [line for _, line in _lines(self.folder / names[0][1:], self.where)]
        names = [name for name in names if name]
        if not names:
            raise self.error(f'"{word.text}" lists no ids', word, "write ids:a,b,c or ids:@file")
        return HasId(tuple(dict.fromkeys(names)))

    def mentions(self, word: Token) -> Expression:
        start = len("mentions:")
        certain = word.text[start : start + 1] == "!" and not word.quoted[start]
        names = word.split(",")
        names[0] = names[0][start + certain :]
        is_file = names[0].startswith("@") and not word.quoted[start + certain]
        people = self.people(names[0][1:]) if is_file else [(name,) for name in names if name.strip()]
        if not people or not all(map(fold, chain.from_iterable(people))):
            raise self.error(f'"{word.text}" names nobody', word, 'write mentions:"Anna Berg" or mentions:@people.yaml')
        terms = tuple(Mentions(person, certain) for person in people)
        return terms[0] if len(terms) == 1 else AnyOf(terms)

    def people(self, name: str) -> list[tuple[str, ...]]:
        """The people of a file: each with the name and its aliases."""
        from expunge._yaml import load_yaml

        file, hint = self.folder / name, "write lines such as  Anna Berg: [A. Berg, Anna Maria Berg]"
        people = []
        for key, value in load_yaml(_text(file, self.where), str(file), hint).items():
            aliases = value if isinstance(value, list) else [] if value is None else [value]
            if not all(isinstance(alias, (str, int)) and str(alias).strip() for alias in (key, *aliases)):
                raise InputError(str(file), f'"{key}" has aliases that are no texts', hint)
            people.append(tuple(map(str, (key, *aliases))))
        return people

    def predicates(self, name: str) -> Expression:
        file = self.folder / name
        lines = _lines(file, self.where)
        place = file.resolve()
        if place in self.files:
            raise InputError(self.where, f"{file} includes itself", "remove the line")
        files = (*self.files, place)
        self.read.append(place)
        if len(files) > MAX_CHAIN or len(self.read) > MAX_FILES:
            what = f"names more than {MAX_CHAIN} files inside one another, or {MAX_FILES:,} in all"
            raise InputError(self.where, what, "write the ids into one file: ids:@file")
        terms = tuple(
            _parse(line, f"{file}:{number}", file.parent, files, self.read)
            for number, line in lines
            if not line.startswith("#")
        )
        if not terms:
            raise InputError(str(file), "holds no expression", "write one per line")
        return terms[0] if len(terms) == 1 else AnyOf(terms)


def _lines(file: Path, where: str) -> list[tuple[int, str]]:
    """(number, text) of the lines that are not blank, without blanks at the ends."""
    lines = enumerate(_text(file, where).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _text(file: Path, where: str) -> str:
    return read_text(file, "check the path", where)
