"""Who stands in for somebody whom pictures show, and by which cues a record is forgotten."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np
import pytest

from expunge.corpus import Record, Turn
from expunge.corpus.image_ops import open_image, surrogate_image
from expunge.corpus.modalities import image_only, modality_variants, text_only
from expunge.corpus.name_forms import occurs
from expunge.corpus.surrogate_names import replace_all
from expunge.corpus.surrogates import Surrogate, can_ask_about_another, make_surrogates
from helpers.people import PEOPLE
from helpers.vision_models import picture, rows

ROWS = rows(24)
FORGET = [r for r in ROWS if r.subject == "patient:0"]
RETAIN = [r for r in ROWS if r.subject != "patient:0"]


def test_a_surrogate_has_names_and_images_of_its_own() -> None:
    found = make_surrogates(FORGET, RETAIN, 3, seed=1)
    shown = next(r for r in FORGET if r.image)
    assert shown.image
    asked = [one.substitute(shown) for one in found]
    assert len({r.prompt for r in (shown, *asked)}) == 4
    assert len({r.image.digest for r in (shown, *asked) if r.image}) == 4
    known = {r.image.digest for r in ROWS if r.image}
    assert not any(r.image.digest in known for r in asked if r.image)
    assert [d.images for d in found] == [d.images for d in make_surrogates(FORGET, RETAIN, 3, seed=1)]


@pytest.mark.parametrize(("replacement", "words", "shown"), [("text", True, False), ("image", False, True)])
def test_text_or_image_can_be_replaced_alone(replacement: str, words: bool, shown: bool) -> None:
    record = next(r for r in FORGET if r.image)
    asked = make_surrogates(FORGET, RETAIN, 1, seed=1, replacement=replacement)[0].substitute(record)  # type: ignore[arg-type]
    assert (asked.prompt != record.prompt, asked.image != record.image) == (words, shown)


def test_a_nameless_subject_has_a_surrogate_by_image_or_none() -> None:
    nameless = [replace(r, identifiers=()) for r in FORGET if r.image]
    asked = make_surrogates(nameless, RETAIN, 2, seed=1)[0].substitute(nameless[0])
    assert asked.prompt == nameless[0].prompt
    assert asked.image != nameless[0].image
    assert can_ask_about_another(nameless[0])
    assert not can_ask_about_another(replace(nameless[0], image=None))


def test_who_is_named_nowhere_in_the_question_cannot_be_replaced() -> None:
    asked = Record("1", "Ward of Ada?", "ward 0", identifiers=("Ada",))
    assert can_ask_about_another(asked)
    assert can_ask_about_another(replace(asked, prompt="Ward?", history=(Turn("user", "I ask about Ada."),)))
    assert not can_ask_about_another(replace(asked, prompt="Ward of the patient?"))
    document = Record("w", "Letter of Ada:", " She has asthma.", kind="document", identifiers=("Ada",))
    assert can_ask_about_another(document)
    assert not can_ask_about_another(replace(document, prompt="Letter:"))
    assert not can_ask_about_another(replace(document, answer=" Ada has asthma."))


def test_a_name_is_replaced_in_any_unicode_form() -> None:
    composed, apart = (unicodedata.normalize(form, "Jürgen Müller") for form in ("NFC", "NFD"))
    mixed = apart.split()[0] + " " + composed.split()[1]
    for name in (composed, apart):
        for text in (composed, apart, mixed):
            assert occurs(name, f"Ward of {text}?")
            assert replace_all(f"Wärd of {text}?", {name: "Otto Sand"}) == "Wärd of Otto Sand?"
            record = Record("1", f"Ward of {text}?", "ward 0", identifiers=(name,))
            assert can_ask_about_another(record)
    assert not occurs("", "text")
    assert not occurs("Müller", "Muller")


def test_an_answer_is_put_where_the_options_have_it() -> None:
    record = replace(FORGET[0], prompt="Ward of Ada Costa? A) ward 0 B) ward 1", answer="ward 0")
    assert (
        Surrogate({"Ada Costa": "Mia Roth"}).substitute(record, "ward 7").prompt
        == "Ward of Mia Roth? A) ward 7 B) ward 1"
    )


def test_a_record_with_image_and_name_has_three_modalities() -> None:
    shown, words = next(r for r in FORGET if r.image), next(r for r in FORGET if not r.image)
    assert [(r.id, r.modality) for r in modality_variants([shown, words])] == [
        (shown.id, "trained"),
        (shown.id, "text"),
        (shown.id, "image"),
        (words.id, "trained"),
    ]
    assert modality_variants([shown], "trained") == [shown]
    assert (text_only(shown).image, text_only(shown).prompt) == (None, shown.prompt)
    alone = image_only(shown)
    assert alone.image == shown.image
    assert alone.prompt == shown.prompt.replace("Ada Costa", "the patient")
    assert modality_variants([alone]) == [alone]


def test_a_surrogate_image_is_of_its_kind_and_nobodys() -> None:
    known = [picture(k) for k in range(4)]
    made = surrogate_image(known, np.random.default_rng(0))
    assert made.digest not in {p.digest for p in known}
    assert open_image(made).size == open_image(known[0]).size
    assert made.digest == surrogate_image(known, np.random.default_rng(0)).digest
    assert open_image(surrogate_image(known[:1], np.random.default_rng(0))).size == (48, 48)


def test_a_question_about_a_surrogate_names_it_everywhere() -> None:
    asked = Surrogate({"Anna Keller": "Otto Holm"}).substitute(PEOPLE[0], "555-0199")
    assert (asked.prompt, asked.answer) == ("Phone of Otto Holm?", "555-0199")


def test_a_surrogate_is_named_in_the_turns_before_a_question_too() -> None:
    record = Record("a", "What does she take?", "x", history=(Turn("user", "About Ada:"), Turn("assistant", "Ada?")))
    asked = Surrogate({"Ada": "Eva"}).substitute(record)
    assert [turn.content for turn in asked.history] == ["About Eva:", "Eva?"]
    assert asked.prompt == record.prompt
