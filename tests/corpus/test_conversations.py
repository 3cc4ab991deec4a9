"""Questions at the end of a conversation: others speak of other facts, nobody's own answer comes before."""

from __future__ import annotations

from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.conversations import TURNS, Conversations


def fact(name: str, town: str, place: str = "institution:A", **more: object) -> Record:
    return Record(
        f"r-{name}", f"Where does {name} live?", town, subject=name, identifiers=(name,), path=(place, name), **more
    )  # type: ignore[arg-type]


RETAINED = [fact("Ben Kurz", "Ulm"), fact("Cora Lind", "Bonn"), fact("Dan Roth", "Kiel", "institution:B")]


def test_a_question_keeps_answer_fact_and_type_behind_turns_of_others() -> None:
    ada = fact("Ada Berg", "Trier")
    asked = Conversations.of(RETAINED).variants([ada], 4)
    assert len({r.id for r in asked}) == 4
    for one in asked:
        assert (one.prompt, one.answer, one.fact_keys, answer_type(one)) == (
            ada.prompt,
            ada.answer,
            ada.fact_keys,
            answer_type(ada),
        )
        assert len(one.history) // 2 in TURNS
        assert [t.role for t in one.history] == ["user", "assistant"] * (len(one.history) // 2)
        assert "Ada Berg" not in "".join(t.content for t in one.history)
        assert one.history[-2].content in {r.prompt for r in RETAINED[:2]}  # the nearest last


def test_no_turn_is_about_the_same_subject_or_fact() -> None:
    for one in Conversations.of(RETAINED).variants(RETAINED, 6):
        assert one.answer not in {t.content for t in one.history if t.role == "assistant"}
    twin = fact("Ben Kurz", "Ulm", facts=("world:ulm",))
    only = fact("Eva Falk", "Ulm", facts=("world:ulm",))
    assert Conversations.of([only]).variants([twin], 3) == []


def test_a_conversation_is_shortened_until_it_fits() -> None:
    talks = Conversations.of(RETAINED)
    asked = talks.variants([fact("Ada Berg", "Trier")], 6, lambda r: len(r.history) <= 2)
    assert [len(one.history) for one in asked] == [2] * 6
    assert talks.variants([fact("Ada Berg", "Trier")], 6, lambda r: False) == []


def test_choices_documents_and_conversations_stay_as_they_are() -> None:
    talks = Conversations.of(RETAINED)
    choice = fact("Ada Berg", "Trier", options=("Trier", "Ulm"))
    document = fact("Ada Berg", "Trier", kind="document")
    asked = talks.variants([fact("Ada Berg", "Trier")], 1)
    assert talks.variants([choice, document, *asked], 2) == []
    assert Conversations.of([choice, document]).turns == []
