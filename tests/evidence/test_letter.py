"""The letter and the words that it may not use, in three languages."""

from __future__ import annotations

import html
import re
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from expunge._io import write_json
from expunge.audit.check_result import CheckResult
from expunge.audit.context import CHECKS
from expunge.errors import InputError
from expunge.evidence import assurance_level, coverage, limits
from expunge.evidence.certificate_schema import CertificatePredicate
from expunge.evidence.envelope import save_envelope
from expunge.evidence.letter import FOLDER, LetterFacts, load_facts, phrases, write_answer, write_letter
from expunge.evidence.letter_tests import OTHER, STAYS, TESTS
from expunge.evidence.log_sources import entry_of
from expunge.evidence.merkle_log import MerkleLog
from expunge.evidence.model_bill import model_card_section
from expunge.evidence.receipts import Supersession, make_receipt, person_summary
from expunge.evidence.statement import read_statement
from expunge.evidence.verification import read_predicate_of
from expunge.evidence.wording import LANGUAGES, Language, forbidden_words
from helpers.cli import Cli
from helpers.evidence import AUDITOR, LOG_KEY, REQUEST, SECRETS, EvidenceCase, write_case, write_trust

FACTS: dict[str, Any] = {
    "controller": "St. Mary Hospital",
    "contact": "privacy@hospital.example",
    "authority": "Data Protection Commissioner",
    "received": "2026-02-01",
    "model_changed": "2026-03-04",
    "log_head": "hospital log 17 " + "ab" * 32,
    "assets": [
        {"kind": "corpus", "action": "retain", "reason": "§ 10"},
        {"kind": "weights", "action": "unlearn"},
        {"kind": "old_weights", "action": "due", "date": "2026-06-01"},
        {"kind": "backup", "action": "due", "date": "2026-09-01"},
        {"kind": "downstream", "action": "notify"},
    ],
}


def facts(**more: Any) -> LetterFacts:
    return LetterFacts.model_validate(FACTS | more)


@pytest.fixture(scope="module")
def predicate(case: EvidenceCase) -> CertificatePredicate:
    return read_predicate_of(read_statement(case.make(), "cert"), "cert")


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("en", "It is PROVEN and never wrong; we cannot say.", ["PROVEN", "never", "cannot"]),
        ("en", "Your certificate; provenance; it was deleted\n from the model", ["deleted from the model"]),
        ("en", "evidence of resistance, found in 0 of 5 attempts", []),
        ("de", "Das ist bewiesen, anonymisiert und endgültig.", ["bewiesen", "anonymisiert", "endgültig"]),
        ("de", "Ihr Zertifikat liegt nieder", []),
        ("fr", "C’est garanti, jamais conforme.", ["garanti", "jamais", "conforme"]),
        ("fr", "votre certificat", []),
    ],
)
def test_forbidden_words(language: Language, text: str, said: list[str]) -> None:
    assert forbidden_words(text, language) == said


def test_an_exact_level_may_say_where_from() -> None:
    assert forbidden_words("deleted from the model", "en", exact=True) == []
    assert forbidden_words("never deleted from the model", "en", exact=True) == ["never"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_template_says_a_forbidden_word(language: Language) -> None:
    text = (FOLDER / f"letter.{language}.yaml").read_text("utf-8")
    assert forbidden_words(text, language) == []


def test_no_other_fixed_text_says_one(case: EvidenceCase, predicate: CertificatePredicate) -> None:
    fixed = [
        *limits.FIXED,
        *(value for name, value in vars(limits).items() if name.isupper() and isinstance(value, str)),
        *limits.TRIGGERS,
        *assurance_level.TITLES.values(),
        *assurance_level.REASONS.values(),
        *coverage.THREATS.values(),
        person_summary(predicate, "0" * 64).model_dump_json(),
        model_card_section(case.make(), predicate),
        *((FOLDER / name).read_text("utf-8") for name in ("letter.txt.j2", "letter.html.j2")),
    ]
    assert [forbidden_words(text, "en") for text in fixed if forbidden_words(text, "en")] == []


def test_every_language_has_the_same_phrases() -> None:
    def keys(value: Any, name: str = "") -> set[str]:
        if isinstance(value, dict):
            return {inner for key, item in value.items() for inner in keys(item, f"{name}.{key}")}
        return {f"{name} {' '.join(sorted(re.findall(r'{(.*?)}', value)))}"}

    assert keys(phrases("en")) == keys(phrases("de")) == keys(phrases("fr"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", ["txt", "html"])
def test_a_letter(predicate: CertificatePredicate, language: Language, form: Any) -> None:
    text = write_letter(predicate, facts(), language, form, date(2026, 3, 5))
    plain = html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.S))
    words = phrases(language)
    for needed in ("R-2026-0017", "2026-03-04", "2026-06-01", "§ 10", "privacy@hospital.example"):
        assert needed in plain
    assert words["results"]["passed"] in plain
    assert words["old_model"] in plain
    assert words["notice"] in plain
    assert forbidden_words(plain, language) == []
    assert not [word for word in (*SECRETS, "npo", "leakage", "ROUGE", "mia", "epsilon") if word in plain]
    assert len(plain.split()) < 560  # a page


def test_what_did_not_run_was_not_tested(tmp_path: Path) -> None:
    case = write_case(tmp_path, {"mia": "not_run", "paraphrase": "failed"})
    failed = read_predicate_of(read_statement(case.make(level="L0"), "cert"), "cert")
    assets = [{"kind": "weights", "action": "suppress"}]
    text = write_letter(failed, facts(assets=assets), "en")
    names = phrases("en")["test_names"]
    assert f"{names['membership']}: not tested" in text.lower()
    assert f"{names['paraphrase']}: more was found than with the reference" in text.lower()
    with pytest.raises(InputError, match="certificate is of level L0"):
        write_letter(failed, facts(), "en")


def test_every_result_about_the_recipient_has_a_line(predicate: CertificatePredicate) -> None:
    keys = [key for _, check in CHECKS for key in check.keys if not key.startswith(STAYS)]
    assert [key for key in keys if not key.startswith(tuple(TESTS))] == []
    for language in LANGUAGES:
        assert set(TESTS.values()) | {OTHER} == set(phrases(language)["test_names"])


@pytest.mark.parametrize(
    ("key", "name"), [("prefill", "prefix"), ("relearning_curve", "relearning"), ("mine", "other")]
)
def test_an_attack_that_failed_stands_in_the_letter(predicate: CertificatePredicate, key: str, name: str) -> None:
    failed = CheckResult(key=key, status="failed", reason="excess 0.2")
    audit = predicate.audit.model_copy(update={"results": (*predicate.audit.results, failed)})
    text = write_letter(predicate.model_copy(update={"audit": audit}), facts(), "en")
    assert f"{phrases('en')['test_names'][name]}: more was found than with the reference" in text.lower()


def test_a_model_is_not_in_use_before_its_certificate(predicate: CertificatePredicate) -> None:
    with pytest.raises(InputError, match="when the certificate was made"):
        write_letter(predicate, facts(model_changed="2026-02-02"), "en")
    with pytest.raises(InputError, match="when the request came in"):
        write_letter(predicate, facts(model_changed="2020-03-04"), "en")


def test_who_checked(case: EvidenceCase, predicate: CertificatePredicate) -> None:
    single = read_predicate_of(read_statement(case.make(single_person=True), "cert"), "cert")
    assert phrases("en")["tests_single"] in write_letter(single, facts(), "en")
    assert phrases("en")["tests_people"] in write_letter(predicate, facts(), "en")


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"assets": [{"kind": "corpus", "action": "retain"}]}, "retain without a reason"),
        ({"assets": [{"kind": "backup", "action": "due"}]}, "due without a date"),
        ({"assets": [{"kind": "weights", "action": "retrain"}]}, "certificate is of level L1"),
        ({"assets": [{"kind": "corpus", "action": "retain", "reason": "gone permanently"}]}, 'says "permanently"'),
        ({"controller": "A certified hospital"}, 'says "certified"'),
    ],
)
def test_what_no_letter_says(predicate: CertificatePredicate, more: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        write_letter(predicate, facts(**more), "en")


def test_markup_in_a_fact_stays_text(predicate: CertificatePredicate) -> None:
    text = write_letter(predicate, facts(controller="<script>alert(1)</script>"), "en", "html")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_templates_are_shipped() -> None:
    names = {entry.name for entry in (files("expunge.evidence") / "templates").iterdir()}
    assert {"letter.txt.j2", "letter.html.j2", *(f"letter.{language}.yaml" for language in LANGUAGES)} <= names


def test_the_command(case: EvidenceCase, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "facts.yaml"
    file.write_text(yaml.safe_dump(FACTS))
    trust = write_trust(tmp_path / "trust.yaml")
    out = tmp_path / "letter.html"
    words = ("certificate", "letter", case.certificate, "--facts", file, "--language", "de")
    assert cli(*words, "--trust", trust, "--out", out).code == 0
    assert '<html lang="de">' in out.read_text()
    assert out.stat().st_mode & 0o777 == 0o600
    shown = cli(*words)
    assert "Ihr Antrag zu Ihren Daten" in shown.out
    assert "the certificate was not verified" in shown.out
    assert "neither .txt nor .html" in cli(*words, "--out", tmp_path / "x.pdf").line
    half = tmp_path / "half.json"
    half.write_bytes(case.make().__class__(case.make().payload, case.make().payload_type).as_bytes())
    refused = cli("certificate", "letter", half, "--facts", file, "--trust", trust, "--out", tmp_path / "no.txt")
    assert refused.code == 3
    assert not (tmp_path / "no.txt").exists()
    write_json(file, FACTS | {"asked": "deletion"})
    assert "asked" in cli(*words).line
    with pytest.raises(InputError, match='unknown key "asset"'):
        load_facts(write_json(file, {**FACTS, "asset": []}))


def test_what_commands_say(case: EvidenceCase, cli: Cli, tmp_path: Path) -> None:
    trust = write_trust(tmp_path / "trust.yaml")
    said = cli("certificate", "show", case.certificate).out
    said += cli("certificate", "verify", case.certificate, "--trust", trust, "--model", case.model).out
    assert forbidden_words(said, "en") == []
    assert said.count("This is technical evidence, not legal advice.") == 2


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Your data were wiped out for good."),
        ("en", "They are gone forever, once and for all."),
        ("en", "It was fully erased without a trace, beyond any doubt."),
        ("de", "Ihre Daten sind restlos ausgelöscht."),
        ("de", "Sie sind für immer weg, ein für alle Mal, spurlos."),
        ("de", "Das ist DSGVO-konform und rechtssicher."),
        ("fr", "Vos données ont disparu pour toujours, une fois pour toutes."),
        ("fr", "Elles sont totalement éradiquées, sans laisser de trace."),
    ],
)
def test_other_words_for_the_same_claims(language: Language, text: str) -> None:
    assert forbidden_words(text, language)
    with pytest.raises(InputError, match="which no test carries"):
        write_answer("R-1", facts(assets=(), outcome="cancelled", model_changed="", reason=text), language)


def test_plain_words_are_no_claims() -> None:
    assert forbidden_words("The model was trained for good reasons; nobody forgot the ward.", "en") == []
    assert forbidden_words("Wir haben gesucht und nichts gefunden; es bleibt ein Rest.", "de") == []
    assert forbidden_words("Nous avons cherché et n’avons rien trouvé.", "fr") == []


def test_a_superseded_certificate_gets_no_letter(case: EvidenceCase, cli: Cli, tmp_path: Path) -> None:
    file, trust = tmp_path / "facts.yaml", write_trust(tmp_path / "trust.yaml")
    file.write_text(yaml.safe_dump(FACTS))
    envelope = case.make()
    gone = Supersession(
        certificate=envelope.digest, request=REQUEST, at="2026-03-02T10:00:00Z", reason="regression_failed"
    )
    receipt = save_envelope(make_receipt(gone).signed_by(AUDITOR), tmp_path / "gone.json")
    words = ("certificate", "letter", case.certificate, "--facts", file, "--out", tmp_path / "letter.txt")
    refused = cli(*words, "--trust", trust, "--receipt", receipt)
    assert refused.code == 3
    assert "superseded" in refused.out
    log = MerkleLog(tmp_path / "log")
    log.append([entry_of(envelope), entry_of(make_receipt(gone))], LOG_KEY, "hospital")
    assert "superseded" in cli(*words, "--trust", trust, "--log", log.folder).out
    assert not (tmp_path / "letter.txt").exists()
    assert "nothing without a trust file" in cli(*words, "--log", log.folder).line
