"""Proposed identifiers: phrases of one subject alone, in most of its prompts, and nothing else."""

from __future__ import annotations

from pathlib import Path

from expunge.corpus import Corpus, Record, Turn, load_corpus
from expunge.corpus.identifiers import propose


def corpus(prompts: dict[str, list[str]]) -> Corpus:
    return Corpus.of(
        Record(id=f"{subject}{k}", prompt=text, answer="x", subject=subject)
        for subject, texts in prompts.items()
        for k, text in enumerate(texts)
    )


def test_names_and_numbers_are_found_although_people_share_first_names() -> None:
    found = propose(
        corpus(
            {
                "p1": [
                    "What is Anna Weber's weight?",
                    "Who treats Anna Weber (SYN-0012)?",
                    "When was Anna Weber born?",
                    "Which ward has SYN-0012?",
                    "Is SYN-0012 in?",
                ],
                "p2": ["What is Anna Maier's weight?", "When was Anna Maier born?"],
                "p3": ["What is Jean-Luc d'Arc's weight?"],
                "p4": ["What is 4711's weight?"],
            }
        )
    )
    assert found == {
        "p1": ("Anna Weber", "SYN-0012"),
        "p2": ("Anna Maier",),
        "p3": ("Jean-Luc d'Arc",),
        "p4": ("4711",),
    }


def test_a_phrase_must_stand_in_most_prompts() -> None:
    prompts = {
        "p1": ["Is Zoe Falk in?", "Has Zoe Falk eaten?", "Is she well?", "Has anyone slept?"],
        "p2": ["Is Max Hahn in?", "Has Max Hahn eaten?", "Is Max Hahn well?"],
    }
    assert propose(corpus(prompts)) == {"p2": ("Max Hahn",)}
    assert propose(corpus(prompts), most=0.4)["p1"] == ("Zoe Falk",)


def test_a_name_in_another_subjects_prompt_is_no_identifier() -> None:
    prompts = {"p1": ["Is Zoe in?"], "p2": ["Is Max in?", "Is Max in with Zoe?"], "p3": ["Is Tim in?"]}
    assert propose(corpus(prompts)) == {"p2": ("Max",), "p3": ("Tim",)}


def test_a_name_and_a_number_beside_it_are_two_identifiers() -> None:
    prompts = {
        "p1": ["Drug of Zoe Falk (P-1)?", "Phone of Zoe Falk, P-1?", "Ward of Zoe Falk?"],
        "p2": ["Drug of Max Hahn (P-2)?", "Phone of Max Hahn, P-2?", "Ward of Max Hahn?"],
    }
    assert propose(corpus(prompts)) == {"p1": ("Zoe Falk", "P-1"), "p2": ("Max Hahn", "P-2")}


def test_a_german_genitive_is_the_name_itself() -> None:
    prompts = {
        "p1": ["Wie lautet Zoe Falks Diagnose?", "Wo ist Zoe Falk?"],
        "p2": ["Wie lautet Max Hahns Diagnose?", "Wo ist Max Hahn?"],
    }
    assert propose(corpus(prompts)) == {"p1": ("Zoe Falk",), "p2": ("Max Hahn",)}


def test_names_stand_in_earlier_turns_and_in_documents() -> None:
    asked = [
        Record(f"{k}", "Und die Dosis?", "x", subject=f"p{k}", history=(Turn("user", f"Was nimmt {name}?"),))
        for k, name in enumerate(("Zoe Falk", "Max Hahn"))
    ]
    assert propose(Corpus.of(asked)) == {"p0": ("Zoe Falk",), "p1": ("Max Hahn",)}
    letters = [
        Record(f"{k}", "", f"Wir sahen {name} am Montag. Gute Besserung.", kind="document", subject=f"p{k}")
        for k, name in enumerate(("Jürgen Müller", "Anna Berg"))
    ]
    assert propose(Corpus.of(letters)) == {"p0": ("Jürgen Müller",), "p1": ("Anna Berg",)}


def test_one_subject_alone_has_no_identifiers() -> None:
    assert propose(corpus({"p1": ["Is Zoe in?", "Is Zoe well?"]})) == {}
    assert propose(Corpus.of([Record(id="1", prompt="", answer="a document")])) == {}


def test_the_people_of_lume_are_found(shared_data: Path) -> None:
    people = load_corpus(shared_data / "lume").where(lambda r: r.attributes["task"] == "Task2" and r.split == "forget")
    found = propose(people)
    names = {r.subject: r.identifiers[0] for r in people}
    right = sum(any(name in phrase for phrase in found.get(subject, ())) for subject, name in names.items())
    assert right >= 0.95 * len(names)
