"""People of the hospital world: names, record numbers, dates of birth, each a function of a unique person number.

A patient slot has 48 candidates of one distribution. A keyed draw decides which one is real (trained); the others are
its controls, made on request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from expunge.random import permute
from expunge.synthetic.facts import CANDIDATES, candidates
from expunge.synthetic.hospital import vocabulary as v

PATIENT_SLOTS, HOLDOUT_SLOTS = 80, 16  # of each run of 96 slots; 96 * 48 = 64 first names * 72 last names
FIRST_DAY, DAYS = date(1930, 1, 1), 29_220  # dates of birth until the end of 2009
PHONES, NUMBERS, MAILBOXES = 80_000, 100_000, 1_000_000


@dataclass(frozen=True, slots=True)
class PatientSlot:
    """A place for one person. `index` counts patients (or holdouts); `institution` and `number` count from 0."""

    index: int
    institution: int
    number: int
    trained: bool = True

    @property
    def partition(self) -> str:
        return "patient" if self.trained else "holdout"

    @property
    def stem(self) -> str:
        """`0003-017`; a holdout's is `0003-h01`."""
        number = f"{self.number + 1:03d}" if self.trained else f"h{self.number + 1:02d}"
        return f"{self.institution + 1:04d}-{number}"

    @property
    def first_number(self) -> int:
        """The least of the 48 person numbers of this slot; no two slots of any world share one."""
        slots, offset = (PATIENT_SLOTS, 0) if self.trained else (HOLDOUT_SLOTS, PATIENT_SLOTS)
        run, place = divmod(self.index, slots)
        return (run * (PATIENT_SLOTS + HOLDOUT_SLOTS) + offset + place) * CANDIDATES


@dataclass(frozen=True, slots=True)
class Person:
    """Candidate `number` of a slot; `mark` is "" for the real person and `-t07` for the seventh control."""

    slot: PatientSlot
    number: int
    mark: str = ""

    @property
    def stem(self) -> str:
        return self.slot.stem + self.mark


def person(seed: int, slot: PatientSlot, control: int = 0) -> Person:
    """The real person of a slot (`control` 0) or one of its controls (1 to 47)."""
    candidate = candidates(seed, slot.partition, slot.index)[control]
    return Person(slot, slot.first_number + candidate, f"-t{control:02d}" if control else "")


def full_name(seed: int, number: int) -> str:
    """Unique for every number; beyond 4,608 people a middle initial is added, then two."""
    run, place = divmod(number, len(v.FIRST_NAMES) * len(v.LAST_NAMES))
    size = len(v.FIRST_NAMES) * len(v.LAST_NAMES)
    first, last = divmod(permute(place, size, seed, run, purpose="name"), len(v.LAST_NAMES))
    return " ".join((v.FIRST_NAMES[first], *([_letters(run) + "."] if run else []), v.LAST_NAMES[last]))


def _letters(run: int) -> str:
    """1 -> A, 26 -> Z, 27 -> AA."""
    text = ""
    while run:
        run, digit = divmod(run - 1, 26)
        text = chr(ord("A") + digit) + text
    return text


def institution_name(seed: int, number: int) -> str:
    """Unique for every number, for example `Corvolund Clinic`."""
    size = len(v.HOUSE_STEMS) * len(v.HOUSE_ENDS) * len(v.HOUSE_KINDS)
    run, place = divmod(number, size)
    rest, kind = divmod(permute(place, size, seed, run, purpose="house"), len(v.HOUSE_KINDS))
    stem, end = divmod(rest, len(v.HOUSE_ENDS))
    return f"{v.HOUSE_STEMS[stem]}{v.HOUSE_ENDS[end]} {v.HOUSE_KINDS[kind]}" + (f" {run + 1}" if run else "")


def name_of_institution(seed: int, institution: int, control: int = 0) -> str:
    """The name of an institution, or of one of its controls."""
    return institution_name(seed, institution * CANDIDATES + candidates(seed, "institution", institution)[control])


def date_of_birth(seed: int, number: int) -> date:
    """A day from 1930 to 2009, unique among any 29,220 consecutive numbers (about 500 slots)."""
    return FIRST_DAY + timedelta(permute(number % DAYS, DAYS, seed, purpose="date of birth"))


def phone(seed: int, number: int) -> str:
    """`417-555-0123`: the last part lies in 0100 to 0199, which is reserved for fiction."""
    run, place = divmod(number, PHONES)
    area, line = divmod(permute(place, PHONES, seed, run, purpose="phone"), 100)
    return f"{200 + area}-555-01{line:02d}" + (f" ext {run}" if run else "")


def record_number(seed: int, number: int) -> str:
    """`SYN-40718`."""
    run, place = divmod(number, NUMBERS)
    return f"SYN-{run or ''}{permute(place, NUMBERS, seed, run, purpose='record number'):05d}"


def email(seed: int, number: int) -> str:
    """`kovu31@example.org`: a mailbox that does not reveal the name, at a domain reserved for examples."""
    run, place = divmod(number, MAILBOXES)
    place, digits = divmod(permute(place, MAILBOXES, seed, run, purpose="e-mail"), 100)
    letters = ""
    for alphabet in ("bdfgklmnprstvzjhcwxq", "aeiou") * 2:
        place, letter = divmod(place, len(alphabet))
        letters += alphabet[letter]
    return f"{letters}{digits:02d}{run or ''}@example.org"


GENERATORS: dict[str, Callable[[int, int], date | str]] = {  # relation -> value of (seed, person number)
    "date_of_birth": date_of_birth,
    "phone": phone,
    "record_number": record_number,
    "email": email,
}


def format_value(value: date | str, institution: int) -> str:
    """Dates in the institution's format: `12 May 1961` in every other institution, `1961-05-12` in the rest."""
    if isinstance(value, str):
        return value
    return value.isoformat() if institution % 2 else f"{value.day} {v.MONTHS[value.month - 1]} {value.year}"
