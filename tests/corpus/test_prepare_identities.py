"""Identities of invented people: names of the same form, numbers in the same range, and nobody's."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.corpus.prepare.identities import InventedPeople, name_roles
from expunge.corpus.surrogate_names import shape
from expunge.errors import InputError
from helpers.patients import NAMES

KNOWN = {f"PAT-{100 + k}": (name, f"PAT-{100 + k}") for k, name in enumerate(NAMES)}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("identifier", "roles"),
    [
        ("Jürgen Müller", {"Jürgen": "given", "Müller": "family"}),
        ("Müller, Jürgen", {"Müller": "family", "Jürgen": "given"}),
        ("Dr. Anna von Berg", {"Anna": "given", "Berg": "family"}),
        ("J. Müller", {"Müller": "family"}),
        ("Anna-Lena Berg", {"Anna": "given", "Lena": "given", "Berg": "family"}),
        ("Eva Meyer-Lang", {"Eva": "given", "Meyer": "family", "Lang": "family"}),
        ("Anna", {"Anna": "given"}),
        ("PAT", {"PAT": "family"}),
        ("--", {}),
    ],
)
def test_roles_of_the_words_of_a_name_by_hand(identifier: str, roles: dict[str, str]) -> None:
    assert name_roles(identifier) == roles


def test_forty_people_are_new_and_their_numbers_lie_in_the_same_range() -> None:
    people = InventedPeople(KNOWN)
    found = people.draw(KNOWN["PAT-100"], 40, rng())
    names = {identity["Jürgen Müller"] for identity in found}
    numbers = {identity["PAT-100"] for identity in found}
    assert len(names) == len(numbers) == 40
    assert not (names | numbers) & {i for own in KNOWN.values() for i in own}
    assert all(number.startswith("PAT-1") and len(number) == 7 for number in numbers)
    assert all(shape(name) == "a a" for name in names)


def test_more_people_than_the_range_holds_leave_it() -> None:
    numbers = {identity["PAT-100"] for identity in InventedPeople(KNOWN).draw(KNOWN["PAT-100"], 150, rng())}
    assert len(numbers) == 150
    assert any(not number.startswith("PAT-1") for number in numbers)


def test_a_name_is_the_same_in_every_identifier() -> None:
    own = ("Müller, Jürgen", "J. Müller", "juergen.mueller@klinik.example", "Herr MÜLLER")
    for identity in InventedPeople({"a": own}).draw(own, 5, rng()):
        family, given = identity["Müller, Jürgen"].split(", ")
        assert identity["J. Müller"] == f"{given[0]}. {family}"
        assert identity["Herr MÜLLER"] == f"Herr {family.upper()}"
        assert identity["juergen.mueller@klinik.example"].endswith("@klinik.example")
        assert "mueller" not in identity["juergen.mueller@klinik.example"]


@pytest.mark.parametrize("date", ["17.05.1960", "1960-05-17", "5/31/1960", "3. Mai 1960"])
def test_a_date_stays_a_date(date: str) -> None:
    own = ("Jürgen Müller", date)
    for identity in InventedPeople({"a": own}).draw(own, 20, rng()):
        numbers = [
            int(part)
            for part in identity[date].replace(" Mai ", "/").replace(".", "/").replace("-", "/").split("/")
            if part
        ]
        year = next(n for n in numbers if n > 1000)
        assert 1945 <= year <= 1975
        assert all(1 <= n <= 31 for n in numbers if n != year)


def test_a_place_that_many_share_stays_and_a_name_never() -> None:
    known = {str(k): (name, "Elbe Klinikum") for k, name in enumerate(NAMES)}
    for identity in InventedPeople(known).draw(known["0"], 5, rng()):
        assert identity["Elbe Klinikum"] == "Elbe Klinikum"
        assert identity["Jürgen Müller"] != "Jürgen Müller"
    twice = {str(k): ("Şule Öz",) for k in range(6)} | {"x": ("Anna Berg",)}
    assert all(i["Şule Öz"] != "Şule Öz" for i in InventedPeople(twice).draw(("Şule Öz",), 5, rng()))


def test_what_names_no_person_comes_from_others() -> None:
    known = {"a": ("tonsillectomy",), "b": ("hip replacement",), "c": ("hernia repair",), "d": ("thyroidectomy",)}
    (identity,) = InventedPeople(known).draw(("thyroidectomy",), 1, rng())
    assert identity["thyroidectomy"] not in {i for own in known.values() for i in own}


def test_a_number_without_room_is_an_error() -> None:
    with pytest.raises(
        InputError, match="no more people like a subject with 1 of them can be invented; give longer numbers"
    ):
        InventedPeople({"a": ("7",)}).draw(("7",), 20, rng())


def test_names_that_trained_people_share_stay_such_and_others_stay_new() -> None:
    known = {
        f"P{k}": (name,) for k, name in enumerate(["Karin Hartmann", "Karin Romero", "Clara Haddad", "Hugo Olsen"])
    }
    met = {word for name in known.values() for word in name[0].split()}
    for identity in InventedPeople(known, set(known)).draw(known["P0"], 12, rng()):
        given, family = identity["Karin Hartmann"].split()
        assert given in {"Clara", "Hugo"}  # Karin is known beside the subject, so the control's given name is too
        assert family not in met
    for identity in InventedPeople(known, set(known)).draw(known["P3"], 12, rng()):
        assert not {*identity["Hugo Olsen"].split()} & met


def test_where_too_few_names_are_known_any_name_serves() -> None:
    known = {"P0": ("Karin Romero",), "P1": ("Karin Haddad",), "P2": ("Clara Romero",)}
    people = InventedPeople(known, set(known)).draw(known["P0"], 40, rng())
    assert len({identity["Karin Romero"] for identity in people}) == 40
