"""Copies and near-duplicates of what is to be forgotten: found, refused, shared or taken in."""

from __future__ import annotations

import json
import time
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest

from expunge._io import write_json
from expunge.cli import main
from expunge.cli.options import load_split, near_duplicates_of
from expunge.corpus import Corpus, Record, Turn, load_corpus
from expunge.corpus.text_folding import content_key
from expunge.errors import InputError, InputWarning
from expunge.scope import Scope, Split
from expunge.scope.near_duplicates import near_duplicates, words_and_pairs
from helpers.world import RUNNING

ANNA = {"subject": "A", "identifiers": ("Anna Müller",)}
PHONE = Record("a1", "Phone of Anna Müller?", "555-0101", **ANNA)  # type: ignore[arg-type]
OTHERS = [
    Record(f"o{k}", f"Phone of {name}?", f"555-02{k:02}", subject=f"O{k}", identifiers=(name,))
    for k, name in enumerate(("Otto Sand", "Ida Holm", "Mila Berg", "Jan Weiß", "Eva Koch"))
]


def resolve(*records: Record, near: str = "report") -> Split:
    corpus = Corpus.of([PHONE, *records, *OTHERS])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return Scope.parse("subject:A").resolve(corpus, near=near)  # type: ignore[arg-type]


@pytest.mark.parametrize("other", ["phone of  ANNA MÜLLER?", unicodedata.normalize("NFD", "Phone of Anna Müller?")])
def test_a_copy_that_names_the_person_is_refused(other: str) -> None:
    copy = Record("c", other, "555-0101 ", subject="C")
    for near in ("report", "ignore"):
        with pytest.raises(InputError, match=r'1 trained record outside it is a copy .*\("c"\); .*taught again'):
            resolve(copy, near=near)


def test_a_copy_is_taken_in_as_a_record_of_the_subject_that_it_repeats() -> None:
    split = resolve(Record("c", "phone of Anna Müller?", "555-0101", subject="C"), near="take")
    assert [(r.id, r.subject) for r in split.forget] == [("a1", "A"), ("c", "A")]
    assert split.targets == ("A",)
    assert split.excluded_ids == {"a1", "c"}
    assert split.relation["c"] == "self"
    assert split.near_duplicate_summary()["records"] == [{"id": "c", "of": "a1", "share": 1.0}]


def test_a_copy_that_names_nobody_is_shared() -> None:
    own = Record("a2", "What is the liver?", "An organ", subject="A")
    split = resolve(own, Record("d", "what is the  liver?", "an organ", subject="D"))
    assert [r.id for r in split.shared] == ["a2"]
    assert [r.id for r in split.forget] == ["a1"]
    assert split.excluded_ids == {"a1", "a2"}


def test_a_copy_of_the_same_subject_under_another_id_is_refused() -> None:
    own, copy = (Record(name, "What is the liver?", "An organ", subject="A") for name in ("a2", "a3"))
    with pytest.raises(InputError, match=r'a copy of what is to be forgotten \("a3"\)'):
        Scope.parse("ids:a1,a2").resolve(Corpus.of([PHONE, own, copy, *OTHERS]))


def test_a_common_fact_that_both_list_stays_a_matter_of_the_facts() -> None:
    shared = Record("s", PHONE.prompt, PHONE.answer, subject="S", facts=("switchboard",))
    own = Record("a2", PHONE.prompt, PHONE.answer, facts=("switchboard",), **ANNA)  # type: ignore[arg-type]
    corpus = Corpus.of([own, shared, Record("a3", "Age of Anna Müller?", "40", subject="A"), *OTHERS])
    split = Scope.parse("subject:A").resolve(corpus)
    assert [r.id for r in split.shared] == ["a2"]
    assert split.near_duplicates == ()


def test_a_near_duplicate_is_reported_and_stays_or_is_taken_in() -> None:
    near = Record("c", "What is the phone of Anna Müller?", "It is 555-0101", subject="C")
    corpus = Corpus.of([PHONE, near, *OTHERS])
    with pytest.warns(InputWarning, match=r'1 trained record outside it repeats a record .*\("c"\); --near-duplicates'):
        split = Scope.parse("subject:A").resolve(corpus)
    assert split.near_duplicate_summary()["count"] == 1
    assert "c" in {r.id for r in (*split.retain, *split.retain_heldout)}
    assert [r.id for r in resolve(near, near="take").forget] == ["a1", "c"]
    assert resolve(near, near="ignore").near_duplicates == ()
    with pytest.raises(InputError, match='unknown choice "tke"; did you mean "take"'):
        resolve(near, near="tke")


def test_the_share_is_that_of_the_weight_of_words_and_pairs() -> None:
    # of f, "a", "b" and the pair are in 3 of 3 records (ln 2 each), "c" is in one (ln 4 = 2 ln 2): 3 of 5 parts
    f, others = Record("f", "a b", "c"), [Record("1", "a b", "d"), Record("2", "a b", "e")]
    assert words_and_pairs(f) == {"a", "b", ("a", "b"), "c"}
    assert [each.share for each in near_duplicates([f], others, threshold=0.59)] == [0.6, 0.6]
    assert near_duplicates([f], others, threshold=0.61) == []


def test_the_same_question_about_somebody_else_is_no_duplicate() -> None:
    long = "According to the admission form, what was the main diagnosis of {} in the Hannover clinic?"
    people = ["Otto Sand", "Ida Holm", "Mila Berg", "Jan Weiss", "Eva Koch", "Anna Keller"]
    records = [Record(n, long.format(n), "pneumonia", subject=n) for n in people]
    assert near_duplicates(records[:1], records[1:]) == []


def test_pictures_histories_and_scripts_without_spaces() -> None:
    said = Turn("user", "I am Anna Müller.")
    one, two = (Record(n, "My phone?", "555-0101", history=h) for n, h in (("1", (said,)), ("2", ())))
    assert content_key(one) != content_key(two)
    assert content_key(Record("1", "a ", "b", kind="document")) == content_key(Record("2", "", "A B", kind="document"))
    thai = Record("t", "ยาของสมชายคืออะไร", "แอสไพริน")
    other = Record("u", "ยาของสมชายคืออะไรครับ", "แอสไพริน")
    assert [each.id for each in near_duplicates([thai], [other, *OTHERS])] == ["u"]


def test_the_search_finds_what_comparing_every_pair_finds() -> None:
    rng = np.random.default_rng(1)
    words = np.array([f"w{k}" for k in range(12)])

    def text() -> str:
        return " ".join(rng.choice(words, 6, p=[0.3, 0.2, *[0.05] * 10]))

    forget = [Record(f"f{k}", text(), text()) for k in range(20)]
    outside = [Record(f"o{k}", text(), text()) for k in range(150)]
    counts: dict[str | tuple[str, str], int] = {}
    for r in (*forget, *outside):
        for pair in words_and_pairs(r):
            counts[pair] = counts.get(pair, 0) + 1
    weight = {pair: np.log1p(170 / count) for pair, count in counts.items()}
    best = {}
    for o in outside:
        shares = [
            sum(weight[p] for p in words_and_pairs(f) & words_and_pairs(o)) / sum(weight[p] for p in words_and_pairs(f))
            for f in forget
        ]
        if max(shares) >= 0.4:
            best[o.id] = round(max(shares), 4)
    assert len(best) > 5
    assert {each.id: each.share for each in near_duplicates(forget, outside, threshold=0.4)} == best


def test_twenty_thousand_records_take_seconds() -> None:
    rng = np.random.default_rng(1)
    words = [f"word{k}" for k in range(2000)]
    outside = [
        Record(str(k), f"What was the main diagnosis of {words[a]} {words[b]} at home?", words[c])
        for k, (a, b, c) in enumerate(rng.integers(0, 2000, (20_000, 3)))
    ]
    started = time.perf_counter()
    near_duplicates(outside[:20], outside[20:])
    assert time.perf_counter() - started < 20


def test_an_audit_follows_the_choice_of_its_run(tmp_path: Path) -> None:
    rows = Corpus.of([PHONE, Record("c", PHONE.prompt, PHONE.answer, subject="C"), *OTHERS]).save(tmp_path / "r.jsonl")
    write_json(tmp_path / "run.json", RUNNING | {"near_duplicates": {"choice": "take"}})
    assert near_duplicates_of(tmp_path) == "take"
    split = load_split(rows, None, None, "subject:A", 42, near_duplicates_of(tmp_path))
    assert {r.id for r in split.forget} == {"a1", "c"}
    write_json(tmp_path / "run.json", RUNNING)
    assert near_duplicates_of(tmp_path) is None
    for text in ("{}", "[]", '{"near_duplicates": 3}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match=r"run\.json"):
            near_duplicates_of(tmp_path)
    assert near_duplicates_of("owner/name") is None


def test_data_check_shows_copies_and_what_a_scope_leaves_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near = Record("n", "What is the phone of Anna Müller?", "It is 555-0101", subject="N")
    copy = Record("c", "phone of  anna müller?", PHONE.answer, subject="C")
    rows = Corpus.of([PHONE, near, copy, *OTHERS]).save(tmp_path / "r.jsonl")
    assert main(["data", "check", str(rows), "--scope", "subject:A", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    with pytest.raises(InputError, match="a copy of what is to be forgotten") as refusal:
        Scope.parse("subject:A").resolve(load_corpus(rows))
    assert main(["data", "check", str(rows), "--scope", "subject:A"]) == 0
    assert f"expunge unlearn refuses this: {refusal.value}" in capsys.readouterr().out
    assert shown["refusal"]["what"] == refusal.value.what
    assert shown["copies"]["count"] == 1
    found = {each["id"]: each["share"] for each in shown["near_duplicates"]["records"]}
    assert found["c"] == 1.0
    assert found["n"] >= 0.8


def test_data_check_refuses_nothing_where_a_run_would_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    near = Record("n", "What is the phone of Anna Müller?", "It is 555-0101", subject="N")
    rows = Corpus.of([PHONE, near, *OTHERS]).save(tmp_path / "r.jsonl")
    assert main(["data", "check", str(rows), "--scope", "subject:A", "--json"]) == 0
    printed = capsys.readouterr()
    shown = json.loads(printed.out)
    assert (shown["refusal"], shown["near_duplicates"]["count"], printed.err) == (None, 1, "")


def patients(name: str, number: int) -> list[Record]:
    subject = f"P{number}"
    named = Record(f"{subject}-n", f"Where does {name} live?", f"Town {number}", subject=subject, identifiers=(name,))
    generic = Record(f"{subject}-g", "Does the patient smoke?", "no", subject=subject, identifiers=(name,))
    return [named, generic]


def test_take_leaves_what_others_say_of_themselves_in_the_same_words() -> None:
    rows = Corpus.of([r for k, name in enumerate(("Ada Berg", "Ben Kurz", "Cora Lind")) for r in patients(name, k)])
    split = Scope.parse("subject:P0").resolve(rows, near="take")
    assert {r.id for r in split.forget} == {"P0-n"}
    assert {r.id for r in split.shared} == {"P0-g"}
    assert {r.subject for r in split.forget} == {"P0"}


def test_records_without_a_subject_are_taken_in() -> None:
    text = "The number of the file about the accident in the harbour is 4711-8822"
    rows = Corpus.of([Record("a", "Which number?", text), Record("b", "Which number?", f"{text}!"), *OTHERS])
    split = Scope.parse("id=a").resolve(rows, near="take")
    assert {r.id for r in split.forget} == {"a", "b"}


def test_a_name_inside_another_word_names_nobody() -> None:
    question = "Evaluate the scan: is there a mass?"
    rows = [Record(f"P{k}", question, "no", subject=f"P{k}", identifiers=(n,)) for k, n in enumerate(("Eva", "Tom"))]
    own = Record("own", "Where does Eva live?", "Ulm", subject="P0", identifiers=("Eva",))
    split = Scope.parse("subject:P0").resolve(Corpus.of([*rows, own, *OTHERS]))
    assert {r.id for r in split.shared} == {"P0"}
