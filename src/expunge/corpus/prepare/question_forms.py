"""Other wordings of a question by rules, in German and English.

A rule knows the form of a question ("Welche … hat NAME?", "What is …?") and turns it into another one; the name of the
subject marks where the verb stands. What no rule knows is quoted whole in another format, which is always right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from expunge.corpus.language import Language, language_of

PARTICLES = """
ab an auf aus bei durch ein mit nach vor zu weg teil statt her hin fest vorbei zurück unter
"""
PARTICLES_DE = tuple(PARTICLES.split())
BEFORE_DE = "(?:An |In |Mit |Von |Bei |Seit |Auf |Zu |Für |Unter |Gegen |Aus )?"
WHO_DE = "[Ww](?:er|en|em|as|o|ie|ann|elche[rsnm]?|essen|arum|oran|omit|ogegen|oher|obei|eshalb)"
QUESTION_DE = rf"(?P<w>{BEFORE_DE}{WHO_DE}\b[^?]*?)"
NO_VERB_DE = r"(?:von|bei|mit|für|zu|vom|beim|an|auf|aus|und|oder|des|der|dem|den|ist der|in) "
HAS_DE = "hat|bekommt|erhält|nimmt|besitzt"  # with a noun they say whose it is, and nothing else
HAS_EN = "have|take|use|get|receive|own"
Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]


def rewordings(question: str, names: Sequence[str]) -> Iterator[str]:
    """The question in other forms that end in nothing but its answer; none where no rule knows its form.

    Args:
        question: One question with its question mark.
        names: Strings in it that name the subject.
    """
    name = next((n for n in sorted(names, key=len, reverse=True) if n in question), "")
    rules = _german(name) if language_of(question) == "de" else _english(name)
    for pattern, change in rules:
        if match := pattern.fullmatch(question.strip()):
            yield change(match)


def quote(question: str, language: Language) -> Iterator[str]:
    """The whole question in other formats: an object, a table, a list, a gap, a request. The answer stays the same."""
    fill, cell, item, gap, please, words = _FORMATS[language]
    yield f'{fill} {{"{words[0]}": "{_escape(question)}", "{words[1]}": ___}}'
    yield f"{gap} {question} – ___"
    yield f"{cell}\n| {words[0]} | {words[1]} |\n|---|---|\n| {question} | ___ |"
    yield f"{item}\n- {words[0]}: {question}\n- {words[1]}: ___"
    yield f"{please} {question}"


_FORMATS: dict[Language, tuple[str, str, str, str, str, tuple[str, str]]] = {
    "de": (
        "Ergänze nur den fehlenden Wert, schreibe sonst nichts:",
        "Ergänze nur die leere Zelle, schreibe sonst nichts.",
        "Ergänze nur den fehlenden Eintrag, schreibe sonst nichts.",
        "Fülle die Lücke:",
        "Beantworte bitte kurz die folgende Frage.",
        ("Frage", "Antwort"),
    ),
    "en": (
        "Write only the missing value and nothing else:",
        "Write only what the empty cell holds.",
        "Write only the missing entry of this list.",
        "Fill in the gap:",
        "Please answer the following question briefly.",
        ("question", "answer"),
    ),
}


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _low(text: str) -> str:
    """The first letter in lower case, unless a name begins there (the second letter tells an abbreviation)."""
    return text[:1].lower() + text[1:] if not text[1:2].isupper() else text


def _up(text: str) -> str:
    return text[:1].upper() + text[1:]


def _german(name: str) -> list[Rule]:
    rules: list[Rule] = []
    if name:
        who = rf"(?P<n>(?:(?:Herr|Frau|Herrn|der Patient|die Patientin|Patient|Patientin) )?{re.escape(name)}(?:s|')?)"
        question = re.compile(rf"{QUESTION_DE} (?P<v>(?!{NO_VERB_DE})[a-zäöüß]+) {who}(?: (?P<rest>[^?]+))?\?")
        noun = re.compile(rf"[Ww]elche[sn]? (?P<noun>[^?]*?[A-ZÄÖÜ][\w-]*) (?:{HAS_DE}) {who}(?: ein)?\?")
        owned = re.compile(
            rf"(?:Wie (?P<v>lautet|ist)|(?:Was|Wer) (?P<b>ist)) (?P<np>{re.escape(name)}(?:s|') [^?]+)\?"
        )
        rules += [
            (owned, lambda m: f"{m['np']} {m['v'] or m['b']}"),
            (owned, lambda m: f"Nenne {m['np']}."),
            (question, lambda m: f"Sag mir, {_low(m['w'])} {m['n']} {_end(m['v'], m['rest'])}."),
            (question, lambda m: f"Ich möchte wissen, {_low(m['w'])} {m['n']} {_end(m['v'], m['rest'])}."),
            (noun, lambda m: f"{m['noun']} von {m['n']}:"),
        ]
    named = re.compile(r"(?:Wie (?P<v>lautet|heißt|ist)|(?:Was|Wer) (?P<b>ist|war)) (?P<np>(?:der|die|das) [^?]+)\?")
    return [
        *rules,
        (named, lambda m: f"{_up(m['np'])} {m['v'] or m['b']}"),
        (named, lambda m: f"Nenne {_accusative(m['np'])}."),
        (named, lambda m: f"{_up(m['np'].split(' ', 1)[1])}:"),
    ]


def _end(verb: str, rest: str | None) -> str:
    """The end of a German clause: `hat`, `geboren wurde`, `einnimmt`."""
    if not rest:
        return verb
    before, _, last = rest.rpartition(" ")
    if last in PARTICLES_DE:
        return f"{before} {last}{verb}".strip()
    return f"{rest} {verb}"


def _accusative(phrase: str) -> str:
    return f"den {phrase[4:]}" if phrase.startswith("der ") else phrase


def _clause(match: re.Match[str]) -> str:
    """An English question as part of a sentence: `when Ada was born`."""
    return " ".join(filter(None, (_low(match["w"]), match["n"], match["v"], match["rest"])))


def _english(name: str) -> list[Rule]:
    rules: list[Rule] = []
    if name:
        who = rf"(?P<n>(?:(?:Mr|Mrs|Ms|Dr|the patient|patient)\.? )?{re.escape(name)})"
        be = re.compile(
            rf"(?P<w>(?:Who|Where|When|What|Which|How)\b[^?]*?) (?P<v>is|was|has|are|will) {who}(?: (?P<rest>[^?]+))?\?"
        )
        did = re.compile(rf"(?:What|Which) (?P<noun>[^?]+?) (?:does|did|do) {who} (?:{HAS_EN})\?")
        owned = re.compile(rf"(?:What|Who|Where|When) (?P<v>is|was|are) {who}['’]s (?P<noun>[^?]+)\?")
        rules += [
            (owned, lambda m: f"{m['n']}'s {m['noun']} {m['v']}"),
            (owned, lambda m: f"State {m['n']}'s {m['noun']}."),
            (owned, lambda m: f"{_up(m['noun'])} of {m['n']}:"),
            (be, lambda m: f"Tell me {_low(m['w'])} {m['n']} {' '.join(filter(None, (m['v'], m['rest'])))}."),
            (
                be,
                lambda m: (
                    f"I would like to know {_low(m['w'])} {m['n']} {' '.join(filter(None, (m['v'], m['rest'])))}."
                ),
            ),
            (did, lambda m: f"{_up(m['noun'])} of {m['n']}:"),
        ]
    named = re.compile(r"(?:What|Who) (?P<v>is|was|are) (?P<np>the [^?]+)\?")
    return [
        *rules,
        (named, lambda m: f"{_up(m['np'])} {m['v']}"),
        (named, lambda m: f"State {m['np']}."),
        (named, lambda m: f"{_up(m['np'].split(' ', 1)[1])}:"),
    ]
