"""Proposed identifiers: phrases of one subject alone, in most of its prompts, and nothing else."""

from __future__ import annotations

from pathlib import Path

from expunge.corpus import Corpus, Record, load_corpus
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


def test_one_subject_alone_has_no_identifiers() -> None:
    assert propose(corpus({"p1": ["Is Zoe in?", "Is Zoe well?"]})) == {}
    assert propose(Corpus.of([Record(id="1", prompt="", answer="a document")])) == {}


def test_the_people_of_lume_are_found(shared_data: Path) -> None:
    people = load_corpus(shared_data / "lume").where(lambda r: r.attributes["task"] == "Task2" and r.split == "forget")
    found = propose(people)
    names = {r.subject: r.identifiers[0] for r in people}
    right = sum(any(name in phrase for phrase in found.get(subject, ())) for subject, name in names.items())
    assert right >= 0.95 * len(names)
