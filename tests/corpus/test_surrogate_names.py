"""Never-trained identities: the same shape, consistent in all their parts, and nobody's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.corpus import Record
from expunge.corpus.surrogate_names import (
    Identity,
    identifiers_by_subject,
    make_identities,
    prompt_template_of,
    replace_all,
    shape,
    words,
)
from expunge.errors import InputError

PEOPLE = {
    "a": ("Mila Berg", "SYN-7730"),
    "b": ("Tom Huber", "SYN-1234"),
    "c": ("Ada Costa", "SYN-0909"),
    "d": ("Zoë Öztürk", "SYN-4411"),
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("text", "parts", "look"),
    [
        ("Anna Keller", ["Anna", "Keller"], "a a"),
        ("SYN-0412", ["SYN", "0412"], "a-9999"),
        ("O'Neil_3", ["O", "Neil", "3"], "a'a_9"),
        ("12.03.2021", ["12", "03", "2021"], "99.99.9999"),
        ("Zoë Öztürk", ["Zoë", "Öztürk"], "a a"),
        ("患者 李明", ["患者", "李明"], "a a"),
        ("٠٤١٢", ["٠٤١٢"], "9999"),
        ("H7b", ["H", "7", "b"], "a9a"),
        ("", [], ""),
        ("--", [], "--"),
    ],
)
def test_words_and_shape_by_hand(text: str, parts: list[str], look: str) -> None:
    assert words(text) == parts
    assert shape(text) == look


@pytest.mark.parametrize(
    ("text", "identity", "result"),
    [
        ("Anna Keller and Anna", {"Anna": "Mia", "Anna Keller": "Tom Berg"}, "Tom Berg and Mia"),
        ("A B", {"A": "B", "B": "A"}, "B A"),
        ("a.c abc", {"a.c": "x"}, "x abc"),
        ("text", {}, "text"),
        ("text", {"": "x"}, "text"),
        ("患者李明的病历", {"李明": "王芳"}, "患者王芳的病历"),
        ("Öztürk's", {"Öztürk": "Berg"}, "Berg's"),
    ],
)
def test_replacing_takes_the_longest_key_once_and_literally(text: str, identity: Identity, result: str) -> None:
    assert replace_all(text, identity) == result


def test_a_skeleton_is_equal_for_the_same_question_about_another_subject() -> None:
    def asked(name: str, options: tuple[str, ...] = ()) -> str:
        shown = " ".join(f"{letter}) {o}" for letter, o in zip("AB", options, strict=False))
        return prompt_template_of(Record("1", f"Pet of {name}? {shown}", "cat", options=options, identifiers=(name,)))

    assert asked("Anna") == asked("Tom Berg") != prompt_template_of(Record("1", "Pet of Anna? ", "cat"))
    assert asked("Anna", ("cat", "dog")) == asked("Tom", ("owl", "cow")) != asked("Tom")


def test_identifiers_are_gathered_by_subject_in_order_of_appearance() -> None:
    rows = [
        Record("1", "", "x", subject="s", identifiers=("B", "A")),
        Record("2", "", "x", subject="t"),
        Record("3", "", "x", subject="s", identifiers=("A", "C")),
    ]
    assert identifiers_by_subject(rows) == {"s": ("B", "A", "C")}


@given(st.integers(0, 999), st.sampled_from(["Anna Keller", "Mila Huber", "Mila Keller"]))
@settings(max_examples=40, deadline=None)
def test_an_identity_is_new_of_the_same_shape_and_as_rare(seed: int, name: str) -> None:
    target = (name, "SYN-0412")
    taken = {i for found in PEOPLE.values() for i in found} | set(target)
    columns = [set(column) for column in zip(*(words(found[0]) for found in PEOPLE.values()), strict=True)]
    found = make_identities(target, PEOPLE, 5, rng(seed))
    assert found
    for identity in found:
        assert set(identity) == set(target)
        assert not taken & set(identity.values())
        assert [shape(v) for v in identity.values()] == [shape(k) for k in identity]
        for old, new, column in zip(words(name), words(identity[name]), columns, strict=True):
            assert (new in column) == (old in column)  # a word that nobody else has becomes one that nobody has
            assert old in column or any(new.startswith(w[: -(-len(w) // 2)]) for w in column)
        assert identity["SYN-0412"].startswith("SYN-")
    assert all(a != b for k, a in enumerate(found) for b in found[:k])


def test_the_same_seed_gives_the_same_identities() -> None:
    target = ("Anna Keller", "SYN-0412")
    assert make_identities(target, PEOPLE, 4, rng(1)) == make_identities(target, PEOPLE, 4, rng(1))
    assert make_identities(target, PEOPLE, 4, rng(1)) != make_identities(target, PEOPLE, 4, rng(2))


def test_a_word_in_several_identifiers_is_replaced_consistently() -> None:
    def files(name: str, number: str) -> tuple[str, ...]:
        return name, name.split()[1], f"P-{number}", f"{name} (P-{number})"

    others = {k: files(v[0], v[1][-4:]) for k, v in PEOPLE.items()}
    for identity in make_identities(files("Anna Keller", "0412"), others, 6, rng()):
        name, number = identity["Anna Keller"], identity["P-0412"]
        assert identity["Keller"] == name.split()[1]
        assert identity["Anna Keller (P-0412)"] == f"{name} ({number})"
        assert name not in {v[0] for v in PEOPLE.values()}  # a surname may be somebody's, a whole name never


def test_words_come_from_subjects_of_the_same_kind_where_there_are_enough() -> None:
    houses = {f"h{k}": (name,) for k, name in enumerate(["Wendo Sanatorium", "Irwa House", "Elm Clinic"])}
    for identity in make_identities(("Anna Keller", "SYN-0412"), PEOPLE | houses, 20, rng()):
        assert not set(words(identity["Anna Keller"])) & {"Wendo", "Sanatorium", "Irwa", "House", "Elm", "Clinic"}
    few = {"a": PEOPLE["a"]} | houses  # one person alone gives no new name
    (identity,) = make_identities(("Anna Keller", "SYN-0412"), few, 1, rng())
    assert identity["Anna Keller"] not in {"Anna Keller", "Mila Berg"}


def test_a_name_of_a_shape_that_nobody_else_has_is_replaced_and_never_kept() -> None:
    for identity in make_identities(("Jean-Luc van Berg", "SYN-0412"), PEOPLE, 5, rng()):
        name = identity["Jean-Luc van Berg"]
        assert shape(name) == "a-a a a"
        assert not {"Jean", "Luc", "van"} & set(words(name))
        assert "SYN" not in words(name)


def test_a_word_can_be_invented_where_hardly_anybody_has_one_of_the_shape() -> None:
    others = {"a": ("tonsillectomy",), "b": ("hip replacement",), "c": ("hernia repair",)}
    for identity in make_identities(("thyroidectomy",), others, 4, rng()):
        new = identity["thyroidectomy"]
        assert shape(new) == "a"
        assert new not in {"thyroidectomy", "tonsillectomy", "hip", "replacement", "hernia", "repair"}


def test_a_surrogate_may_share_common_identifiers_but_not_all() -> None:
    others = {c: (f"N{c} X{c}", "1 May 2020" if c in "aceg" else "2 June 2021") for c in "abcdefgh"}
    found = make_identities(("Anna Keller", "1 May 2020"), others, 20, rng())
    dates = {i["1 May 2020"] for i in found}
    assert dates <= {f"{d} {m} {y}" for d in "12" for m in ("May", "June") for y in (2020, 2021)}
    assert dates & {"1 May 2020", "2 June 2021"}
    assert not {i["Anna Keller"] for i in found} & {found[0] for found in others.values()}
    shared = {str(k): ("1 May 2020",) for k in range(9)} | {"x": ("2 May 2020",), "y": ("2 June 2020",)}
    assert make_identities(("3 May 2020",), shared, 1, rng())[0]["3 May 2020"] == "1 June 2020"


@pytest.mark.parametrize(
    ("target", "others"),
    [
        (("Anna Keller", "PAT-100"), {}),
        (("Keller",), {"a": ("Mila",)}),
        (("Huber",), {"a": ("Berg",), "b": ("Huber",)}),
    ],
)
def test_listed_names_help_where_a_corpus_has_too_few(
    target: tuple[str, ...], others: dict[str, tuple[str, ...]]
) -> None:
    found = make_identities(target, others, 3, rng())
    assert len(found) == 3
    for identity in found:
        assert [shape(v) for v in identity.values()] == [shape(k) for k in identity]
        assert not set(identity.values()) & {*target, *(i for names in others.values() for i in names)}


@pytest.mark.parametrize(
    ("target", "others"), [((), PEOPLE), (("thyroidectomy",), {}), (("--",), PEOPLE), (("患者李明",), {})]
)
def test_a_pool_that_gives_nobody_new_is_an_error(target: tuple[str, ...], others: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(InputError, match="no surrogate can be made"):
        make_identities(target, others, 3, rng())
