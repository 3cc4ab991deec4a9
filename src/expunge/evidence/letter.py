"""The letter to the person: one page in plain words, in English, German or French, without names of models or metrics.

What the tests showed comes from the certificate; what was decided for each asset, and whom to write to, from facts that
the controller gives. A letter that says more than tests carry is refused, whoever wrote the words.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment, StrictUndefined
from pydantic import Field

from expunge._config import MAX_YAML, FrozenModel
from expunge._text_file import read_text
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.errors import InputError
from expunge.evidence.certificate_schema import CertificatePredicate
from expunge.evidence.letter_tests import LetterTests, lines_about_tests, sentence, tests_of
from expunge.evidence.moments import DayOrMoment
from expunge.evidence.wording import Language, forbidden_words

FOLDER = files("expunge.evidence") / "templates"
HINT = "a letter needs `controller:`, `contact:`, `authority:`, `received:` and `assets:`"
DONE = ("erase", "unlearn", "retrain", "suppress", "notify", "not_present")
AssetKind = Literal[
    "corpus",
    "weights",
    "adapter",
    "checkpoint",
    "old_weights",
    "cache",
    "log",
    "index",
    "table",
    "evaluation_set",
    "backup",
    "downstream",
]
Outcome = Literal[
    "fulfilled",
    "nothing_held",
    "denied",
    "not_identified",
    "cancelled",
    "revoked",
    "duplicate",
    "expired",
    "expired_on_hold",
]
Action = Literal["erase", "unlearn", "retrain", "suppress", "notify", "due", "retain", "not_present", "failed"]


class LetterAsset(FrozenModel):
    """One asset and what became of it."""

    kind: AssetKind = Field(description="kind of asset")
    action: Action = Field(description="what was done")
    reason: str = Field("", max_length=300, description="why not, or a remark, in the language of the letter")
    date: DayOrMoment = Field("", description="of `due`: by when; of `notify`: when")


class LetterFacts(FrozenModel):
    """What a certificate does not say."""

    controller: str = Field(min_length=1, max_length=300, description="who writes")
    contact: str = Field(min_length=1, max_length=300, description="where to object")
    authority: str = Field(min_length=1, max_length=300, description="supervisory authority")
    received: DayOrMoment = Field(min_length=1, description="when the request came in")
    asked: Literal["erasure", "objection", "access"] = Field("erasure", description="what was asked")
    assets: tuple[LetterAsset, ...] = Field((), description="every asset")
    model_changed: DayOrMoment = Field("", description="since when the changed model is in use; empty: not yet")
    log_head: str = Field("", max_length=400, description="signed head of the log, as `expunge log head` prints it")
    outcome: Outcome = Field("fulfilled", description="how the request ended")
    reason: str = Field("", max_length=2000, description="of a request that was cancelled: why, in words to the person")
    other: str = Field("", max_length=80, description="of a duplicate: reference of the request that is answered")


class LetterSection(NamedTuple):
    """A heading and its sentences."""

    title: str
    lines: list[str]


def load_facts(path: Path | str) -> LetterFacts:
    """The facts in a YAML file; `InputError` names the first mistake."""
    text = read_text(path, HINT, most=MAX_YAML)
    return validate(LetterFacts, load_yaml(text, str(path), HINT), str(path), HINT)


@cache
def phrases(language: Language) -> dict[str, Any]:
    """The phrases of a language by key."""
    name = f"letter.{language}.yaml"
    return load_yaml((FOLDER / name).read_text("utf-8"), name, HINT)


def write_letter(
    predicate: CertificatePredicate,
    facts: LetterFacts,
    language: Language,
    form: Literal["txt", "html"] = "txt",
    today: date | None = None,
) -> str:
    """The letter about a certificate.

    Args:
        predicate: The certificate's.
        facts: What it does not say.
        language: en, de or fr.
        form: Plain text or a page of HTML.
        today: The date of the letter.

    Raises:
        InputError: the letter would say what no test carries, or a fact contradicts the certificate.
    """
    return write_answer(predicate.request.id, facts, language, form, today, tests_of(predicate))


def write_answer(
    reference: str,
    facts: LetterFacts,
    language: Language,
    form: Literal["txt", "html"] = "txt",
    today: date | None = None,
    tests: LetterTests | None = None,
) -> str:
    """The letter with which a request ends, with a certificate or without one.

    Args:
        reference: Reference number of the request.
        facts: How it ended.
        language: en, de or fr.
        form: Plain text or a page of HTML.
        today: The date of the letter.
        tests: What was tested; None where no model was changed.

    Raises:
        InputError: as `write_letter`.
    """
    _check(tests, facts)
    words = phrases(language)
    values = {
        "t": words,
        "language": language,
        "controller": facts.controller,
        "title": words["title"],
        "reference": reference,
        "date": (today or date.today()).isoformat(),
        "sections": list(_sections(tests, facts, words)),
    }
    plain = render_letter("txt", values)
    if said := forbidden_words(plain, language, exact=tests is not None and tests.level == "L3"):
        raise InputError("letter", f'says "{said[0]}", which no test carries', "write the facts in other words")
    return plain if form == "txt" else render_letter("html", values)


def render_letter(form: str, values: dict[str, Any]) -> str:
    """A letter as `txt` or `html` from the values of its template."""
    environment = Environment(
        autoescape=form == "html", undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string((FOLDER / f"letter.{form}.j2").read_text("utf-8")).render(**values).strip() + "\n"


def _check(tests: LetterTests | None, facts: LetterFacts) -> None:
    if facts.outcome == "fulfilled" and not facts.assets:
        raise InputError("assets", "are missing", HINT)
    for asset in facts.assets:
        _check_asset(asset, tests)
    if facts.outcome == "cancelled" and not facts.reason.strip():
        raise InputError("reason", "is missing", "say why the request was cancelled")
    if facts.outcome == "duplicate" and not facts.other:
        raise InputError("other", "is missing", "name the request that is answered")
    if facts.model_changed:
        made = tests.made if tests else ""
        for name, day in (("received", facts.received), ("made", made)):
            if facts.model_changed[:10] < day[:10]:
                what = f"{facts.model_changed[:10]} lies before {day[:10]}, when the "
                what += "request came in" if name == "received" else "certificate was made"
                raise InputError("model_changed", what, "a certificate comes before its model is put to use")


def _check_asset(asset: LetterAsset, tests: LetterTests | None) -> None:
    if tests is None:
        if asset.action in ("unlearn", "retrain"):
            raise InputError("assets", f"says {asset.action}, and there is no certificate", "say what was done")
    elif asset.action == "retrain" and tests.level != "L3":
        what = f"says retrained, and the certificate is of level {tests.level}"
        raise InputError("assets", what, "say what was done")
    elif asset.action == "unlearn" and tests.level == "L0":
        raise InputError("assets", "says unlearned, and the certificate is of level L0", "say suppress")
    if asset.action in ("retain", "failed") and not asset.reason:
        raise InputError("assets", f"{asset.kind}: {asset.action} without a reason", "give `reason:`")
    if asset.action == "due" and not asset.date:
        raise InputError("assets", f"{asset.kind}: due without a date", "give `date:`")


def _sections(tests: LetterTests | None, facts: LetterFacts, t: dict[str, Any]) -> Iterator[LetterSection]:
    yield LetterSection(t["asked"], [t["asked_text"][facts.asked].format(received=facts.received[:10])])
    if facts.outcome != "fulfilled":
        text = t["outcomes"][facts.outcome].format(other=facts.other)
        yield LetterSection(t["answer"], [text, *([facts.reason.strip()] if facts.reason.strip() else [])])
    stage = tests.stage if tests else ""
    done = [_asset(asset, t, stage) for asset in facts.assets if asset.action in DONE]
    if done:
        yield LetterSection(t["done"], done)
    rest = [_asset(asset, t, stage) for asset in facts.assets if asset.action not in (*DONE, "due")]
    if rest:
        yield LetterSection(t["not_done"], rest)
    if tests is not None:
        changed = t["changed_text"].format(date=facts.model_changed[:10])
        yield LetterSection(t["changed"], [changed if facts.model_changed else t["unchanged_text"]])
        yield LetterSection(t["tests"], list(lines_about_tests(tests, t)))
    remains = [_asset(asset, t, stage) for asset in facts.assets if asset.action == "due"]
    if tests is not None:
        old = any(
            asset.kind == "old_weights" and asset.action not in ("erase", "not_present") for asset in facts.assets
        )
        remains += [t["pretraining"], *([t["old_model"]] if old else [])]
    if remains:
        yield LetterSection(t["remains"], remains)
    yield LetterSection(t["object"], [t["object_text"].format(contact=facts.contact)])
    yield LetterSection(t["complain"], [t["complain_text"].format(authority=facts.authority)])
    if facts.log_head:
        yield LetterSection(t["head"], [t["head_text"].format(head=facts.log_head)])


def _asset(asset: LetterAsset, t: dict[str, Any], stage: str) -> str:
    name = "notify_on" if asset.action == "notify" and asset.date else asset.action
    text = t["actions"][name].format(date=asset.date[:10], stage=stage)
    return sentence(f"{t['assets'][asset.kind]}: {text}") + (f" ({asset.reason})" if asset.reason else "")


@cache
def grounds() -> dict[str, dict[str, str]]:
    """Grounds of the shipped policies by their text -> language -> words for the person."""
    name = "grounds.yaml"
    return load_yaml((FOLDER / name).read_text("utf-8"), name, HINT)


def ground_in(ground: str, language: Language) -> str:
    """A ground in a language; one of a policy of the controller's own as it stands there."""
    return grounds().get(ground, {}).get(language, ground)
