"""Scopes by mention: which spellings are the same name, which are only offered, and what is refused."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.corpus import Corpus, Record, Turn, Variant
from expunge.corpus.text_folding import fold
from expunge.errors import InputError, InputWarning
from expunge.scope import Scope
from expunge.scope.name_text import loosen, pattern

TEXTS = {
    "a": "Was hat Jürgen Müller?",
    "b": unicodedata.normalize("NFD", "Frau und Herr JÜRGEN\n  MÜLLER."),
    "c": "Jürgen Müllers Befund",
    "d": "Juergen Mueller aus Celle",
    "e": "Jürgen Müller-Lüdenscheidt",
    "f": "Müller, Jürgen",
    "g": "Jürgen Müllerin",
    "h": "Jürgen\u00a0Mül\u00adler",
    "i": "Jürgen und Anna Müller",
    "j": "Eva O’Brien, Straße 3",
    "k": "Hans Weiß",
    "l": "Hans Weiss",
    **{f"z{k}": f"Nobody number {k}" for k in range(12)},
}


def corpus(texts: dict[str, str]) -> Corpus:
    return Corpus.of([Record(name, text, "yes") for name, text in texts.items()])


CORPUS = corpus(TEXTS)


def match(text: str, of: Corpus = CORPUS) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return "".join(sorted(Scope.parse(text).match(of)))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('mentions:"Jürgen Müller"', "abch"),
        ('mentions:"jürgen   müller"', "abch"),
        ('mentions:"Juergen Mueller"', "d"),
        ('mentions:"Jürgen Müller","Juergen Mueller"', "abcdh"),
        ('mentions:"Jürgen Müller" or mentions:"Müller, Jürgen"', "abcfh"),
        ('mentions:"Müller" and not mentions:"Jürgen Müller"', "fi"),
        ("mentions:o'brien", "j"),
        ('mentions:"hans weiß"', "k"),
        ('mentions:"HANS WEISS"', "l"),
        ("mentions:anna and mentions:jürgen", "i"),
        ("mentions:Müllerin", "g"),
    ],
)
def test_a_mention_names_these_records(text: str, ids: str) -> None:
    assert match(text) == ids


def test_every_kind_of_record_can_mention_somebody() -> None:
    said = "about Ada Byron"
    some = Corpus.of(
        [
            Record("prompt", said, "x"),
            Record("answer", "q", said),
            Record("history", "q", "x", history=(Turn("user", said),)),
            Record("document", "", f"Text {said} and more", kind="document"),
            Record("border", "A letter of Ada", " Byron, who wrote", kind="document"),
            Record("variant", "q2", "x", variants=(Variant(said, "x"),)),
            Record("apart", "This is Ada", "Byron"),
            *(Record(f"z{k}", f"q{k}", "y") for k in range(9)),
        ]
    )
    assert Scope.parse('mentions:"Ada Byron"').match(some) == {"prompt", "answer", "history", "document", "border"}


def test_a_file_of_people_holds_their_aliases(tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(
        "Jürgen Müller: [Juergen Mueller, 'Müller, Jürgen']\nHans Weiß: Hans Weiss\nEva O'Brien:\n", "utf-8"
    )
    assert match(f"mentions:@{file}") == "abcdfhjkl"
    assert match(f"mentions:@{file} and not mentions:eva") == "abcdfhkl"
    (tmp_path / "request.txt").write_text("mentions:@people.yaml\n")
    assert match(f"@{tmp_path / 'request.txt'}") == "abcdfhjkl"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("Ada Byron: [A. Byron]\n", 'no record mentions "Ada Byron"'),
        ("Ada: {}\n", "has aliases that are no texts"),
        ("", "names nobody"),
        ("- Ada\n", "is not a mapping"),
    ],
)
def test_a_bad_file_of_people_is_one_line(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "people.yaml").write_text(content)
    with pytest.raises(InputError) as caught:
        match(f"mentions:@{tmp_path / 'people.yaml'}")
    assert part in str(caught.value)


def test_spellings_that_may_be_the_same_name_are_told() -> None:
    with pytest.warns(InputWarning) as told:
        Scope.parse('mentions:"Jürgen Müller"').match(CORPUS)
    text = str(told[0].message)
    for part in ('"Juergen Mueller" (1)', '"Jürgen Müller-Lüdenscheidt" (1)', '"Müller, Jürgen" (1)'):
        assert part in text
    assert "Weiss" not in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('mentions:"Jörgen Müller"', 'no record mentions "Jörgen Müller"; did you mean "Jürgen Müller'),
        ('mentions:"Juergen Müller"', 'did you mean "Jürgen Müller" or'),
        ('mentions:"Ada Byron"', "or a file of aliases: mentions:@people.yaml"),
        ("mentions:nobody", '"nobody" is mentioned in 12 of 24 records, more than half'),
        ("mentions:", "names nobody"),
        ('mentions:""', "names nobody"),
        ("mentions:@none.yaml", "the file none.yaml could not be read"),
    ],
)
def test_a_mention_that_cannot_be_meant_is_refused(text: str, part: str) -> None:
    many = corpus(TEXTS | {"more": "Nobody else"}) if "nobody" in text else CORPUS
    part = part.replace("12 of 24", "13 of 25")
    with pytest.raises(InputError) as caught:
        match(text, many)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_word_of_most_records_can_be_meant() -> None:
    assert len(Scope.parse('mentions:!"number"').match(corpus({f"z{k}": f"number {k}" for k in range(3)}))) == 3


def test_names_in_scripts_without_spaces_are_found() -> None:
    some = corpus({"a": "患者王小明今天入院", "b": "患者李雷", "c": "x"})
    assert match("mentions:王小明", some) == "a"


def test_files_and_folders_are_scopes() -> None:
    files = ("letters/anna.txt", "letters/old/eva.txt", "notes/x.md", "letter")
    some = Corpus.of([Record(f, "", "text", kind="document", attributes={"file": f}) for f in files])
    assert Scope.parse("file:letters/").match(some) == set(files[:2])
    assert Scope.parse("file:letters/old").match(some) == {files[1]}
    assert Scope.parse("file:notes/x.md or file:letter").match(some) == set(files[2:])
    with pytest.raises(InputError, match='no record comes from "leters/"; did you mean "letters/"'):
        Scope.parse("file:leters/").match(some)
    with pytest.raises(InputError, match="no record comes from a text file"):
        Scope.parse("file:letters/").match(CORPUS)


names = st.text(st.characters(categories=("Lu", "Ll"), max_codepoint=0x24F), min_size=1, max_size=8)


@given(names, st.sampled_from(["NFC", "NFD", "NFKC"]), st.sampled_from([str.lower, str.title, str]))
def test_a_name_is_found_in_any_form(name: str, form: str, case: object) -> None:
    written = unicodedata.normalize(form, name)  # type: ignore[arg-type]
    assert pattern([fold(name)]).search(fold(f"Der Patient {written}, geb. 1950"))
    assert fold(fold(name)) == fold(name)
    assert loosen(loosen(fold(name))) is not None
