"""What identifies a part of a person, and surrogates that replace it and nothing else."""

from __future__ import annotations

import numpy as np

from expunge.corpus.provenance import behind_provenance
from expunge.corpus.surrogate_parts import names_part, numbers_by_marker, part_identities
from expunge.corpus.surrogates import Surrogate, make_surrogates
from helpers.reconstruction import everybody, person

SECOND = [r for r in person("P-1") if "study:S-12" in r.path]
OTHERS = [r for r in everybody() if r.id not in {s.id for s in SECOND}]


def test_numbers_by_which_questions_of_one_kind_differ_mark_a_part() -> None:
    assert numbers_by_marker(person("P-1")) == {
        ("study # of \0 shows [blank].", "study "): {"1", "2"},
        ("after study #, \0 needs [blank].", "study "): {"1", "2"},
    }


def test_the_number_of_a_part_becomes_one_that_nobody_has() -> None:
    for identity in part_identities(SECOND, OTHERS, 8, np.random.default_rng(0)):
        assert set(identity) == {"Study 2", "study 2"}
        assert identity["Study 2"].lower() == identity["study 2"]
        assert identity["study 2"] not in {"study 1", "study 2"}


def test_the_person_stays_and_the_part_goes() -> None:
    surrogate = make_surrogates(SECOND, OTHERS, 1, seed=0, scale="part")[0]
    prompt = surrogate.substitute(SECOND[0]).prompt
    assert prompt.endswith(" of Ada Costa shows [blank].")
    assert not prompt.startswith("Study 2 ")
    assert "Ada Costa" not in make_surrogates(SECOND, OTHERS, 1, seed=0)[0].substitute(SECOND[0]).prompt


def test_behind_its_place_the_study_changes_and_the_person_stays() -> None:
    rows = [behind_provenance(r) for r in SECOND]
    prompt = make_surrogates([*SECOND, *rows], OTHERS, 1, seed=0, scale="part")[0].substitute(rows[0]).prompt
    assert prompt.startswith("institution H-1. patient P-1, Ada Costa, N-11. study S-")
    assert "S-12" not in prompt
    assert "Study 2 " not in prompt


def test_somebody_forgotten_as_a_whole_has_no_part() -> None:
    own = person("P-1")
    others = [r for r in everybody() if r.subject != "patient:P-1"]
    assert part_identities(own, others, 2, np.random.default_rng(0)) == [{}, {}]
    assert "Ada Costa" not in make_surrogates(own, others, 1, seed=0, scale="part")[0].substitute(own[1]).prompt


def test_a_question_without_the_marker_is_asked_about_somebody_else() -> None:
    assert not names_part("Ward of Ada Costa?", {"study 2": "study 5"})
    assert not names_part("study 21 of Ada Costa", {"study 2": "study 5"})
    surrogate = Surrogate({"Ada Costa": "Mia Berg"}, part={"study 2": "study 5"})
    assert surrogate.substitute(person("P-1")[0]).prompt == "Ward of Mia Berg?"
