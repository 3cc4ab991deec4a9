"""What the demo desk holds: two wards of a synthetic hospital, a small model of each, people, and an asset map."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from expunge._io import write_atomic
from expunge.corpus import Corpus
from expunge.desk.assets import add_asset
from expunge.desk.desk import Desk
from expunge.desk.people import set_person
from expunge.desk.regime import load_regime
from expunge.desk.roles import SYSTEM, Actor
from expunge.desk.settings import CertificateSettings, LetterSettings
from expunge.evidence.signing_key import SigningKey, save_key
from expunge.synthetic.hospital.hospital import Hospital
from expunge.synthetic.hospital.people import PatientSlot

SEED = 42
PER_WARD = 24
CONTROLS = 4  # never-trained people per patient, with whom an audit compares
STRANGERS = (("P-0009-001", "Ottilie Brandvold"), ("P-0009-002", "Thaddäus Quell"))  # who are nowhere found
CHOICE = "classification"  # kind of question that is left out: a model this small guesses among options
PEOPLE: dict[str, tuple[str, ...]] = {
    "adam": ("admin",),
    "carla": ("clerk",),
    "rita": ("reviewer",),
    "olga": ("operator",),
    "anna": ("approver",),
    "aude": ("auditor",),
    "vera": ("viewer",),
    "dora": ("clerk", "reviewer", "operator"),
}
ADMIN, CLERK, REVIEWER = Actor("adam", "admin"), Actor("carla", "clerk"), Actor("rita", "reviewer")
OPERATOR, APPROVER, AUDITOR = Actor("olga", "operator"), Actor("anna", "approver"), Actor("aude", "auditor")
LINEAGES = ("ward", "clinic")
CONTROLLER = "St. Ahorn Hospital (a synthetic demo)"
CONTACT = LetterSettings(contact="privacy@ahorn.example", authority="the supervisory authority of the demo")
QUICK = "gdpr-quick"  # policy without a cancel window, to try the whole way in minutes
POLICY = "demo-policy.yaml"
POLICY_TEXT = """\
# Margins of the demo, fixed before any run and much wider than those of the shipped policies: a patient has six
# records, and retention is measured on about forty. Rephrased questions (a model this small hardly knows them),
# relearning, small groups and the rank among four controls are measured and shown, and decide nothing.
name: desk-demo
version: 1
about: small synthetic wards; judges against never-trained matched controls
reference: controls
rules:
  leakage.self: {judge: excess, margin: 0.15, required: true}
  retention.text: {judge: retention, margin: 0.70, required: where_applicable}
  retention.same_institution: {judge: retention, margin: 0.70}
  retention.elsewhere: {judge: retention, margin: 0.70}
  paraphrase: {judge: excess, margin: 0.15}
  relearning.in_domain: {judge: excess, margin: 0.15}
  mia: {judge: controls, margin: 0.05}
matched_controls: {below: 10, controls: 40, percentile: 95}
"""
Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoPatient:
    """A synthetic patient: number, name, and whether a ward's model was trained on them."""

    number: str
    name: str
    lineage: str | None


def make_assets(desk: Desk, patients: dict[str, int], say: Say) -> dict[str, list[DemoPatient]]:
    """People, records, trained models and the asset map of an empty desk.

    Args:
        desk: a new desk.
        patients: lineage -> how many of its patients get matched controls, the first ones.
        say: told what is done.

    Returns:
        Lineage -> its patients, in order; under "" people who are nowhere found.
    """
    with desk.session(SYSTEM) as s:
        set_person(s, ADMIN.person, ["admin"])
    with desk.session(ADMIN) as s:
        for name, roles in PEOPLE.items():
            set_person(s, name, roles)
    write_atomic(desk.folder / POLICY, POLICY_TEXT)
    _write_quick(desk.folder)
    wards = _write_wards(desk, patients)
    for lineage in LINEAGES:
        say(f"the model of the {lineage} is trained on {PER_WARD} synthetic patients")
        _train(desk.folder, lineage)
    with desk.session(OPERATOR) as s:
        for lineage in LINEAGES:
            add_asset(s, f"{lineage} notes", "corpus", "corpus", {"path": f"{lineage}.jsonl"}, lineage=lineage)
            add_asset(s, f"{lineage} model", "weights", "model_folder", {"path": f"{lineage}-model"}, lineage=lineage)
        add_asset(s, "nightly backup", "backup", "backup", {"days": 90})
        recipient = {"recipient": "university statistics unit", "days": 30}
        add_asset(s, "study partner", "downstream", "recipient", recipient)
    return wards


def make_keys(folder: Path) -> tuple[CertificateSettings, SigningKey]:
    """Keys of operator, auditor and log in `folder/keys`, with their passphrases beside them, for a demo alone.

    Returns:
        The settings that name them, and the auditor's private key.
    """
    keys = {name: SigningKey.generate() for name in ("operator", "auditor", "log")}
    (folder / "keys").mkdir(parents=True, mode=0o700)
    for name, key in keys.items():
        phrase = secrets.token_urlsafe(18)
        save_key(key, folder / "keys" / f"{name}.key", phrase)
        write_atomic(folder / "keys" / f"{name}.pass", f"{phrase}\n", private=True)
    names = {f"{name}_key": f"keys/{name}.key" for name in ("operator", "log")}
    phrases = {f"{name}_passphrase_file": f"keys/{name}.pass" for name in ("operator", "log")}
    settings = CertificateSettings(**names, **phrases, auditor_key="keys/auditor.key.pub", origin="demo desk")
    return settings, keys["auditor"]


def _write_quick(folder: Path) -> None:
    """A policy of the desk's own: the shipped one, without the hours in which a request can be stopped."""
    import yaml

    rules = load_regime("gdpr").model_dump(mode="json", exclude_defaults=True)
    rules |= {
        "name": QUICK,
        "version": 1,
        "title": "GDPR Art. 12(3) and 17, for trying the desk",
        "cancel_window_hours": 0,
    }
    (folder / "policies").mkdir()
    write_atomic(folder / "policies" / f"{QUICK}@1.yaml", yaml.safe_dump(rules, sort_keys=False))


def _world(**settings: object) -> Hospital:
    """Four institutions, three facts of each patient; the first two are the ward, the others the clinic."""
    sizes = {
        "patients": 2 * PER_WARD,
        "per_institution": PER_WARD // 2,
        "patient_facts": 3,
        "studies": 1,
        "holdout_patients": 0,
    }
    nothing = dict.fromkeys(("institution_facts", "study_facts", "section_facts", "shared_facts", "world_facts"), 0)
    return Hospital(seed=SEED, **sizes, **nothing, **settings)


def _lineage(slot: PatientSlot) -> str:
    return LINEAGES[slot.institution // 2]


def _write_wards(desk: Desk, patients: dict[str, int]) -> dict[str, list[DemoPatient]]:
    slots = list(_world().slots())
    targets = [slot for name in LINEAGES for slot in [x for x in slots if _lineage(x) == name][: patients[name]]]
    corpus = _world(controls_for=tuple(f"patient:P-{x.stem}" for x in targets), controls_per_target=CONTROLS).corpus()
    wards: dict[str, list[DemoPatient]] = {"": [DemoPatient(*one, None) for one in STRANGERS]}
    for k, lineage in enumerate(LINEAGES):
        places = tuple(f"institution:H-000{2 * k + n}" for n in (1, 2))
        own = Corpus.of(r for r in corpus if r.kind != CHOICE and r.path and r.path[0] in places)
        own.save(desk.folder / f"{lineage}.jsonl")
        names = {record.subject: record.identifiers[0] for record in own.trained if record.identifiers}
        wards[lineage] = [
            DemoPatient(f"P-{x.stem}", names[f"patient:P-{x.stem}"], lineage) for x in slots if _lineage(x) == lineage
        ]
    return wards


def _train(folder: Path, lineage: str) -> None:
    from expunge.corpus import load_corpus
    from expunge.engine.train.train_loop import TrainConfig
    from expunge.engine.train.train_model import train
    from expunge.models.tiny import TinyConfig

    records = load_corpus(folder / f"{lineage}.jsonl").trained
    size = TinyConfig(layers=3, width=64, heads=2, vocabulary=800, context=128)
    settings = TrainConfig(epochs=120, batch=16, target_accuracy=0.97, seed=SEED + LINEAGES.index(lineage))
    train(records, folder / f"{lineage}-model", tiny=size, settings=settings)
