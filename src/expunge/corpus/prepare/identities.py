"""Identities of invented people: "Jürgen Müller, PAT-100" → "Holger Brandt, PAT-173".

Names are recombined from the given and family names of the corpus and of `person_names.py`. Titles, particles and the
letters of a number stay; the digits of a number are drawn again under the beginning that all such numbers share; dates
stay dates. A word that stands in several identifiers becomes the same word everywhere. What names no person (a drug, a
house) is replaced by `surrogate_names.make_identities`.

A model that met one Karin is surer of what it says about another. So a name that trained people have too becomes a name
of trained people, and one that none of them has becomes one that none has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from expunge.corpus.person_names import FAMILY, FEMALE, GIVEN, MALE, PARTICLES, TITLES, is_person
from expunge.corpus.surrogate_names import WORD, Identity, make_identities, shape, words
from expunge.errors import InputError

TRIES = 60  # draws of one identity, before its numbers may begin in another way
YEARS = 15  # a year is drawn at most so far away
SHARED = 3  # subjects that share an identifier without digits: it names a place, and stays
PERSONS = 0.2  # share of the subjects with identifiers of the same shape whose words are listed names


@dataclass
class InventedPeople:
    """Draws identities, none of which anybody in the corpus or an earlier draw has.

    Attributes:
        known: Subject → identifiers, of everybody in the corpus.
        trained: The subjects among them whom a model met.
        taken: Identifiers that are no longer free.
    """

    known: Mapping[str, Sequence[str]]
    trained: Collection[str] = ()
    taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.taken |= {i for names in self.known.values() for i in names}
        self._met = {
            s: dict(pair for i in self.known[s] for pair in name_roles(i).items())
            for s in self.trained
            if s in self.known
        }
        self._holders = Counter(i for names in self.known.values() for i in set(names))
        self._by_shape: dict[str, list[list[str]]] = {}
        first: set[str] = set()
        family: set[str] = set(FAMILY)
        for identifier in self._holders:
            self._by_shape.setdefault(shape(identifier), []).append(words(identifier))
            roles = name_roles(identifier)
            if len(roles) > 1 and is_person(list(roles)):
                for word, role in roles.items():
                    (family if role == "family" else first).add(word)
        unlisted = first - GIVEN
        self._given = {"female": sorted(unlisted | set(FEMALE)), "male": sorted(unlisted | set(MALE))}
        self._given["any"] = sorted({*self._given["female"], *self._given["male"]})
        self._family = sorted(family)

    def draw(self, own: Sequence[str], count: int, rng: np.random.Generator) -> list[Identity]:
        """`count` identities for a subject with the identifiers `own`; fewer only where `make_identities` finds fewer.

        Raises:
            InputError: No identity can be made.
        """
        if not self._names_person(own) and any(not _is_code(i) for i in own):
            others = {s: names for s, names in self.known.items() if tuple(names) != tuple(own)}
            identities = make_identities(own, others, count, rng)
            self.taken.update(i for identity in identities for i in identity.values())
            return identities
        return [self._one(own, rng) for _ in range(count)]

    def _names_person(self, own: Sequence[str]) -> bool:
        names = [i for i in own if not _is_code(i)]
        if any(is_person(words(i)) for i in names):
            return True
        rows = [row for i in names for row in self._by_shape.get(shape(i), []) if row != words(i)]
        return bool(rows) and sum(map(is_person, rows)) >= PERSONS * len(rows)

    def _one(self, own: Sequence[str], rng: np.random.Generator) -> Identity:
        places = self._places(own)
        unique = [i for i in own if i not in places and (_is_code(i) or len(name_roles(i)) > 1 or len(own) == 1)]
        for attempt in range(4 * TRIES):
            identity = self._substitutes(own, attempt // TRIES, rng)
            if all(identity[i] not in self.taken for i in unique) and any(identity[i] != i for i in own):
                self.taken.update(identity[i] for i in unique)
                return identity
        hint = "give longer numbers or full names, or ask for fewer with --controls"
        raise InputError("identifiers", f"no more people like a subject with {len(own)} of them can be invented", hint)

    def _places(self, own: Sequence[str]) -> set[str]:
        """Those without digits that other subjects have too, beside a name of the subject alone."""
        names = [i for i in own if not _is_code(i)]
        shared = {i for i in names if self._holders[i] >= SHARED and not is_person(words(i))}
        return shared if len(shared) < len(names) else set()

    def _substitutes(self, own: Sequence[str], looser: int, rng: np.random.Generator) -> dict[str, str]:
        replaced: dict[str, str] = {}
        names = self._places(own)
        gender = next((g for i in own for w in words(i) if (g := _gender(w)) != "any"), "any")
        met = self._names_met(own)
        for i in sorted(own, key=lambda i: (-len(name_roles(i)), i)):
            if i not in names and not _is_code(i):
                self._rename(i, gender, replaced, met if looser == 0 else None, rng)
        return {
            i: i
            if i in names
            else self._code(i, replaced, looser, rng)
            if _is_code(i)
            else WORD.sub(lambda m: _alike(m[0], replaced), i)
            for i in own
        }

    def _names_met(self, own: Sequence[str]) -> dict[str, set[str]]:
        """Role → names that trained people other than the one with the identifiers `own` have in it."""
        met: dict[str, set[str]] = {"given": set(), "family": set()}
        for subject, roles in self._met.items():
            if tuple(self.known[subject]) != tuple(own):
                for word, role in roles.items():
                    met[role].add(word)
        return met

    def _rename(
        self,
        identifier: str,
        gender: str,
        replaced: dict[str, str],
        met: Mapping[str, set[str]] | None,
        rng: np.random.Generator,
    ) -> None:
        """Draw what each name of an identifier becomes, and its initial; None for `met`: from all names."""
        for word, role in name_roles(identifier).items():
            if _fold(word) not in replaced:
                pool = self._family if role == "family" else self._given[gender]
                if met is not None:
                    pool = _as_known(word, role, gender, pool, met[role])
                free = [w for w in pool if w != word and _fold(w) not in replaced and w not in replaced.values()]
                new = (free or pool)[int(rng.integers(len(free or pool)))]
                replaced[_fold(word)] = new
                replaced.setdefault(_fold(word[0]), new[0])

    def _code(self, identifier: str, replaced: dict[str, str], looser: int, rng: np.random.Generator) -> str:
        parts = words(identifier)
        rows = [row for row in self._by_shape.get(shape(identifier), []) if row != parts]
        dated = _is_date(identifier)
        fresh = []
        for k, part in enumerate(parts):
            column = {row[k] for row in rows}
            if not part.isdigit():
                fresh.append(_alike(part, {w: n for w, n in replaced.items() if len(w) > 1}))
            elif dated:
                fresh.append(_date_part(part, k, parts, rng))
            elif part in replaced:
                fresh.append(replaced[part])
            elif (column == {part} and len(rows) > 2) or (not rows and k == 0 and re.fullmatch(r"(19|20)\d\d", part)):
                fresh.append(part)
            else:
                fresh.append(self._digits(part, column, looser, rng))
                replaced[part] = fresh[-1]
        remaining = iter(fresh)
        return WORD.sub(lambda _: next(remaining), identifier)

    def _digits(self, part: str, column: set[str], looser: int, rng: np.random.Generator) -> str:
        """As many digits, after the beginning that all of `column` share; `looser`: so many fewer of these."""
        start = _common_start([part, *column]) if column else ""
        start = start[: max(0, min(len(start), len(part) - 1) - looser)]
        return start + "".join(str(d) for d in rng.integers(0, 10, len(part) - len(start)))


def _common_start(texts: Sequence[str]) -> str:
    """The longest text that all of them begin with."""
    first, last = min(texts), max(texts)
    return first[: next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def name_roles(identifier: str) -> dict[str, str]:
    """Word → `given` or `family`, in order: the last name is the family's, or the one before a comma.

    Titles, particles, initials and words without a capital have no role.
    """
    parts = [
        w
        for w in words(identifier)
        if w.casefold() not in TITLES and w.casefold() not in PARTICLES and len(w) > 1 and not w.islower()
    ]
    if len(parts) == 1:
        return {parts[0]: "given" if parts[0] in GIVEN else "family"}
    last = words(identifier.partition(",")[0])[-1] if "," in identifier else parts[-1] if parts else ""
    hyphenated = {w for w in parts if re.search(rf"\w-{w}$|{w}-{last}$", identifier)}
    return {w: "family" if w == last or w in hyphenated else "given" for w in parts}


def _as_known(word: str, role: str, gender: str, pool: Sequence[str], met: set[str]) -> list[str]:
    """Names that trained people have if they have `word` too, else names of `pool` that none of them has."""
    if word not in met:
        return [w for w in pool if w not in met]
    names = sorted(met - {word})
    fitting = [w for w in names if role == "family" or gender == "any" or _gender(w) in (gender, "any")]
    return fitting or names


def _is_code(identifier: str) -> bool:
    return any(c.isdigit() for c in identifier)


def _gender(word: str) -> str:
    return "female" if word in FEMALE and word not in MALE else "male" if word in MALE else "any"


def _fold(word: str) -> str:
    """Lower case without umlauts, as in an e-mail address."""
    return re.sub("[äöü]", lambda m: {"ä": "ae", "ö": "oe", "ü": "ue"}[m[0]], word.casefold())


def _alike(word: str, replaced: Mapping[str, str]) -> str:
    """What `word` has become, in the same case and with as few umlauts; a word that is not replaced stays."""
    new = replaced.get(_fold(word))
    if new is None:
        return word
    if word.islower():
        new = _fold(new) if word.isascii() else new.lower()
    return new.upper() if word.isupper() and len(word) > 1 else new


def _is_date(identifier: str) -> bool:
    numeric = re.fullmatch(r"(\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d\d)|\d{4}-\d\d-\d\d)", identifier)
    written = re.fullmatch(r"\d{1,2}\.? [^\W\d_]{3,} (19|20)\d\d|[^\W\d_]{3,} \d{1,2}, (19|20)\d\d", identifier)
    return bool(numeric or written)


def _date_part(part: str, place: int, parts: Sequence[str], rng: np.random.Generator) -> str:
    if len(part) == 4:
        return str(int(part) + int(rng.integers(-YEARS, YEARS + 1)))
    if len(parts) == 3 and parts[place] == parts[-1] and len(parts[0]) < 4 and place == 2:
        return f"{(int(part) + int(rng.integers(-YEARS, YEARS + 1))) % 100:02d}"
    numeric = all(p.isdigit() for p in parts)
    month = numeric and place == 1
    value = int(rng.integers(1, 13 if month else 29))
    if numeric and place == 0 and int(parts[1]) > 12:  # month before day
        value = int(rng.integers(1, 13))
    elif month and int(part) > 12:
        value = int(rng.integers(1, 29))
    return f"{value:0{len(part)}d}" if part.startswith("0") or len(part) == 2 else str(min(value, 9))
