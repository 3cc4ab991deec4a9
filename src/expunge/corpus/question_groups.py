"""Which records ask the same question about different people, also where identifiers are missing or incomplete.

"Where does Ada Berg live?" asks what "Where does _ live?" asks, the prompt of a record that lists its identifiers, and
so does "Where does Ben _ live?", whose record lists a part of the name. Where no such prompt is known, words with a
capital or a digit count as names: names in small letters that no record lists are not seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from expunge.corpus.language import ENGLISH_WORDS, GERMAN_WORDS
from expunge.corpus.record import Record
from expunge.corpus.surrogate_names import prompt_template_of

HOLE = "\0"  # stands for a name in a template
PART = r"[\w\0](?:[\w\0.'’/-]*[\w\0])?"
NAME = rf"{PART}(?:[.,]? {PART}){{0,4}}"  # up to five words
COMMON = "|".join(sorted(ENGLISH_WORDS | GERMAN_WORDS))
MAY_BE_NAME = rf"(?<![\w.'’/-])(?!(?i:{COMMON})\b)(?=[^\W\d_a-zß-öø-ÿ]|{HOLE}|[\w.'’/-]*\d){PART}"
RUN = re.compile(rf"{MAY_BE_NAME}(?:[.,]? {MAY_BE_NAME})*")  # names of several words
LETTERS = re.compile(r"[^\W\d_]+")
MIN_WORDS = 2  # of a template, beside its names: less would stand for every question


def question_groups(records: Iterable[Record]) -> Mapping[str, str]:
    """Template of a prompt (`prompt_template_of`) -> template of all records among these that ask the same question.

    A template that no other record shares stands for itself.
    """
    forms = {template: _widen_names(template) for template in sorted({prompt_template_of(r) for r in records})}
    named: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # by the text before the first name
    for form in sorted(set(forms.values())):
        if HOLE in form and len(LETTERS.findall(form)) >= MIN_WORDS:
            pattern = re.compile(NAME.join(map(re.escape, form.split(HOLE))))
            named.setdefault(form.partition(HOLE)[0], []).append((form, pattern))
    sizes = sorted({len(start) for start in named})

    def general(form: str) -> str:
        candidates = (each for size in sizes if size <= len(form) for each in named.get(form[:size], ()))
        wider = [f for f, pattern in candidates if _length(f) < _length(form) and pattern.fullmatch(form)]
        return general(min(wider, key=lambda f: (_length(f), f))) if wider else form

    groups = {template: _without_names(general(form)) for template, form in forms.items()}
    members = Counter(groups.values())
    return {template: group if members[group] > 1 else template for template, group in groups.items()}


def _length(template: str) -> int:
    """Characters beside the names, so that a wider template is always a shorter one."""
    return len(template.replace(HOLE, ""))


def _widen_names(template: str) -> str:
    """The template with each hole over the names that stand beside it: "Ben _" is a name of two words."""
    return RUN.sub(lambda m: HOLE if HOLE in m[0] else m[0], template)


def _without_names(template: str) -> str:
    """A template without holes with a hole for each run of words that may be names."""
    return template if HOLE in template else RUN.sub(HOLE, template)
