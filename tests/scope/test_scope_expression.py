"""Scope expressions: what each form names, and a clear line for every way to get one wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.corpus import Corpus, Record
from expunge.errors import InputError
from expunge.scope import Scope
from expunge.scope.ast import Equals, InNode


def record(name: str, path: str = "", subject: str = "", **attributes: object) -> Record:
    return Record(
        id=name,
        prompt=f"{name}?",
        answer="x",
        path=tuple(path.split("/")) if path else (),
        subject=subject,
        kind="cloze" if name == "d" else "generation",
        concept="L4" if name == "c" else None,
        attributes=attributes,
    )


CORPUS = Corpus.of(
    [
        record("a", "institution:H.1/patient:P-1/study:S", "patient:P-1", topic="Surgery", age=40),
        record("b", "institution:H.1/patient:Änne (2)", "patient:Änne (2)", topic="Skin & Hair", tags=["x", "y,z"]),
        record("c", "institution:H2/patient:P-1", "institution:H2/patient:P-1", topic="Surgery", synthetic=True),
        record("d", "institution:H2", "institution:H2"),
        record("e", subject="author-1"),
    ]
)


def match(text: str) -> str:
    return "".join(sorted(Scope.parse(text).match(CORPUS)))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("institution:H.1", "ab"),
        ("institution:H2/patient:P-1", "c"),
        ("study:S", "a"),
        ('patient:"Änne (2)"', "b"),
        ('"patient:Änne (2)"', "b"),
        ("subject:author-1", "e"),
        ("subject:patient:P-1", "a"),
        ("topic=Surgery", "ac"),
        ('topic="Skin & Hair"', "b"),
        ("tags=x", "b"),
        ('tags="y,z"', "b"),
        ("age=40", "a"),
        ("synthetic=true", "c"),
        ("kind=cloze", "d"),
        ("concept=L4", "c"),
        ("id=e", "e"),
        ("ids:a,c", "ac"),
        ('ids:"a",b,', "ab"),
        ("not topic=Surgery", "bde"),
        ("!topic=Surgery", "bde"),
        ("not not kind=cloze", "d"),
        ("institution:H2 and topic=Surgery", "c"),
        ("institution:H2&topic=Surgery", "c"),
        ("kind=cloze or topic=Surgery", "acd"),
        ("kind=cloze|topic=Surgery", "acd"),
        ("kind=cloze OR concept=L4", "cd"),
        ("kind=cloze or topic=Surgery and institution:H.1", "ad"),
        ("(kind=cloze or topic=Surgery) and institution:H2", "cd"),
        ("institution:H2 and not (kind=cloze)", "c"),
        ("topic=Surgery and !institution:H2", "a"),
    ],
)
def test_a_scope_names_these_records(text: str, ids: str) -> None:
    assert match(text) == ids


def test_ids_and_predicates_can_stand_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "ids.txt").write_text("\ufeffa\n\n e \n", "utf-8")
    (tmp_path / "lists" / "any.txt").write_text("# what must go\nkind=cloze\n\nids:@ids.txt\n", "utf-8")
    (tmp_path / "one.txt").write_text("institution:H2\n")
    monkeypatch.chdir(tmp_path)
    assert match("ids:@lists/ids.txt") == "ae"
    assert match("@lists/any.txt") == "ade"
    assert match("@lists/any.txt and not @one.txt") == "ae"
    (tmp_path / "one.txt").write_text("@lists/any.txt")
    assert match("@one.txt") == "ade"


def test_a_parsed_scope_no_longer_needs_its_files(tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("a\n")
    scope = Scope.parse(f"ids:@{file}")
    file.unlink()
    assert scope.match(CORPUS) == {"a"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the scope is empty"),
        ("  ", "the scope is empty"),
        ("(kind=cloze", 'the "(" is never closed: it stands at character 1; add a ")"'),
        ("kind=cloze and (topic=Surgery or (age=40)", "at character 16"),
        ("kind=cloze)", 'unexpected ")" at character 11; remove it'),
        ("kind=cloze topic=Surgery", 'unexpected "topic=Surgery" at character 12; join scopes with "and" or "or"'),
        ("kind=cloze and", 'nothing follows "and" at character 12'),
        ("not", 'nothing follows "not" at character 1'),
        ("and kind=cloze", 'unexpected "and" at character 1'),
        ("()", 'unexpected ")" at character 2'),
        ('patient:"P-1', "the quotation mark at character 9 is never closed"),
        ("patient:P-1,patient:P-2", 'join scopes with "or"'),
        ("patient", '"patient" names nothing at character 1'),
        ("patient:", '"patient:" names nothing'),
        (":P-1", '":P-1" names nothing'),
        ("=x", '"=x" names nothing'),
        ("topic=", '"topic=" names nothing'),
        ('""', '"" names nothing'),
        ("ids:", '"ids:" lists no ids'),
        ("ids:,", "lists no ids"),
        ("ids:@nowhere.txt", "nowhere.txt could not be read"),
        ("@nowhere.txt", "the file nowhere.txt could not be read (No such file or directory)"),
        ("(" * 101 + "kind=cloze" + ")" * 101, "more than 100 brackets inside one another at character 101"),
    ],
)
def test_text_that_cannot_be_read_is_refused_with_its_place(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        Scope.parse(text)
    assert str(caught.value).startswith(f'scope "{text}": ')
    assert part in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("patient:P-11", 'no node "patient:P-11" in the tree; did you mean "patient:P-1"?'),
        ("patient:P-1", '"patient:P-1" names 2 nodes; give the full path'),
        ("patent:P-1", 'unknown level "patent"; did you mean "patient"?'),
        ("topics=Surgery", 'unknown attribute "topics"; did you mean "topic"?'),
        ("topic=Surgry", 'no record has topic="Surgry"; did you mean "Surgery"?'),
        ("kind=clze", 'did you mean "cloze"?'),
        ("concept=L3", "known: L4"),
        ("subject:autor-1", 'did you mean "author-1"?'),
        ("ids:a,z", 'no record has the id "z"'),
        ("kind=cloze or patient:P-11", 'no node "patient:P-11"'),
        ("kind=cloze and topic=Surgery", "matches no record"),
    ],
)
def test_a_scope_that_names_nothing_is_refused_with_the_nearest(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        Scope.parse(text).match(CORPUS)
    assert str(caught.value).startswith(f'scope "{text}": ')
    assert part in str(caught.value)


def test_errors_in_a_predicate_file_name_its_line(tmp_path: Path) -> None:
    file = tmp_path / "any.txt"
    file.write_text("# one\nkind=cloze\n(age=40\n")
    with pytest.raises(InputError, match=r"any\.txt:3: the \"\(\" is never closed"):
        Scope.parse(f"@{file}")
    file.write_text("kind=cloze\n@any.txt\n")
    with pytest.raises(InputError, match=r"any\.txt:2: .*any\.txt includes itself"):
        Scope.parse(f"@{file}")
    file.write_text("# nothing\n")
    with pytest.raises(InputError, match="holds no expression"):
        Scope.parse(f"@{file}")
    file.write_bytes(b"\xff")
    with pytest.raises(InputError, match="could not be read \\(not UTF-8\\)"):
        Scope.parse(f"@{file}")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_name_can_be_quoted(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert Scope.parse(f'level:"{quoted}"').term == InNode(f"level:{name}")
    assert Scope.parse(f'key="{quoted}"').term == Equals("key", name)


@given(st.text('ab:=,@"\\()&|! \n', max_size=12))
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    try:
        found = Scope.parse(text)
    except InputError as error:
        found = error
    assert found.text == text if isinstance(found, Scope) else found.hint
