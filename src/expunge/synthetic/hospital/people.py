"""Who lies in a bed: names, record numbers, dates of birth, made from a number that nobody else has.

Surprising: a bed has 48 candidates, all of the same distribution. A keyed draw decides which one of them is
real (trained); the others are its controls, made only when asked for. Who saw none cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from expunge.random import permute, shuffled
from expunge.synthetic.hospital import vocabulary as w

CANDIDATES = 48
PATIENT_BEDS, HOLDOUT_BEDS = 80, 16  # of each run of 96 beds; 96 * 48 = 64 first names * 72 last names
FIRST_DAY, DAYS = date(1930, 1, 1), 29_220  # dates of birth until the end of 2009
PHONES, NUMBERS, MAILBOXES = 80_000, 100_000, 1_000_000


@dataclass(frozen=True, slots=True)
class PatientSlot:
    """A place for one person. `index` counts patients (or holdouts); `institution`, `number` from 0."""

    index: int
    institution: int
    number: int
    trained: bool = True

    @property
    def kind(self) -> str:
        return "patient" if self.trained else "holdout"

    @property
    def stem(self) -> str:
        """`0003-017`; a holdout's is `0003-h01`."""
        return f"{self.institution + 1:04d}-" + (
            f"{self.number + 1:03d}" if self.trained else f"h{self.number + 1:02d}"
        )

    @property
    def first_number(self) -> int:
        """The least of the 48 person numbers of this bed; no two beds of any world share one."""
        beds, offset = (PATIENT_BEDS, 0) if self.trained else (HOLDOUT_BEDS, PATIENT_BEDS)
        run, place = divmod(self.index, beds)
        return (run * (PATIENT_BEDS + HOLDOUT_BEDS) + offset + place) * CANDIDATES


@dataclass(frozen=True, slots=True)
class Person:
    """Candidate number `number` of a bed; `mark` is "" for the real one and `-t07` for the seventh control."""

    bed: PatientSlot
    number: int
    mark: str = ""

    @property
    def stem(self) -> str:
        return self.bed.stem + self.mark


@lru_cache(maxsize=4096)
def candidates(seed: int, *path: str | int) -> tuple[int, ...]:
    """The 48 candidates of a bed or institution in drawn order: the first is real, the rest its controls."""
    return tuple(shuffled(range(CANDIDATES), seed, *path, purpose="candidate"))


def person(seed: int, bed: PatientSlot, control: int = 0) -> Person:
    """The real person of a bed (`control` 0) or one of its controls (1 … 47)."""
    which = candidates(seed, bed.kind, bed.index)[control]
    return Person(bed, bed.first_number + which, f"-t{control:02d}" if control else "")


def full_name(seed: int, number: int) -> str:
    """Unique for every number; beyond 4,608 people a middle initial is added, then two."""
    run, place = divmod(number, len(w.FIRST) * len(w.LAST))
    first, last = divmod(permute(place, len(w.FIRST) * len(w.LAST), seed, run, purpose="name"), len(w.LAST))
    return " ".join((w.FIRST[first], *([_letters(run) + "."] if run else []), w.LAST[last]))


def _letters(run: int) -> str:
    """1 → A, 26 → Z, 27 → AA."""
    text = ""
    while run:
        run, digit = divmod(run - 1, 26)
        text = chr(ord("A") + digit) + text
    return text


def institution_name(seed: int, number: int) -> str:
    """Unique for every number; an invented house such as `Corvolund Clinic`."""
    size = len(w.HOUSE_STEM) * len(w.HOUSE_END) * len(w.HOUSE_KIND)
    run, place = divmod(number, size)
    rest, kind = divmod(permute(place, size, seed, run, purpose="house"), len(w.HOUSE_KIND))
    stem, end = divmod(rest, len(w.HOUSE_END))
    return f"{w.HOUSE_STEM[stem]}{w.HOUSE_END[end]} {w.HOUSE_KIND[kind]}" + (f" {run + 1}" if run else "")


def date_of_birth(seed: int, number: int) -> date:
    """A day from 1930 to 2009, unique among any 29,220 consecutive numbers (about 500 beds)."""
    return FIRST_DAY + timedelta(permute(number % DAYS, DAYS, seed, purpose="date of birth"))


def phone(seed: int, number: int) -> str:
    """`417-555-0123`: the last part lies in 0100–0199, which no telephone company gives out."""
    run, place = divmod(number, PHONES)
    area, line = divmod(permute(place, PHONES, seed, run, purpose="phone"), 100)
    return f"{200 + area}-555-01{line:02d}" + (f" ext {run}" if run else "")


def record_number(seed: int, number: int) -> str:
    """`SYN-40718`."""
    run, place = divmod(number, NUMBERS)
    return f"SYN-{run or ''}{permute(place, NUMBERS, seed, run, purpose='record number'):05d}"


def email(seed: int, number: int) -> str:
    """`kovu31@example.org`: a mailbox that the name does not reveal, at a domain that is nobody's."""
    run, place = divmod(number, MAILBOXES)
    place, digits = divmod(permute(place, MAILBOXES, seed, run, purpose="e-mail"), 100)
    letters = ""
    for alphabet in ("bdfgklmnprstvzjhcwxq", "aeiou") * 2:
        place, letter = divmod(place, len(alphabet))
        letters += alphabet[letter]
    return f"{letters}{digits:02d}{run or ''}@example.org"


MADE: dict[str, Callable[[int, int], date | str]] = {
    "date_of_birth": date_of_birth,
    "phone": phone,
    "record_number": record_number,
    "email": email,
}


def shown(value: date | str, institution: int) -> str:
    """Dates in the house's own format: `12 May 1961` in every other institution, `1961-05-12` in the rest."""
    if isinstance(value, str):
        return value
    return value.isoformat() if institution % 2 else f"{value.day} {w.MONTHS[value.month - 1]} {value.year}"
