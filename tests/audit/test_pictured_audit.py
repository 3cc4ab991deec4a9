"""A whole audit of a tiny image-text model: cues, gallery, tree, and the report that shows them."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from expunge.audit.image_examples import thumbnail
from expunge.audit.run import Audit, audit
from expunge.corpus import Corpus, Record, Variant
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.models.tiny import TinyConfig
from expunge.models.vision.tiny_vision import TinyVision
from expunge.report.render import write_report
from expunge.scope import Scope, Split
from helpers.vision_models import picture

pytestmark = pytest.mark.trains

NAMES = ("Ada Costa", "Nils Berg", "Vera Holm", "Otto Lind", "Mina Roth", "Paul Senn")
TINY = TinyConfig(layers=2, width=64, heads=2, vocabulary=300, context=64)
VISION = TinyVision(layers=1, width=32, heads=2, image_size=48, patch_size=16)
BY_HEART = TrainConfig(epochs=60, batch=9, target_accuracy=0.99)
SECRET = 100  # numbers of pictures that may not be shown start here


def guests() -> list[Record]:
    """Six guests: a ward taught with picture and name, a bed with the picture alone, a drug with words alone."""
    found = []
    for k, name in enumerate(NAMES):
        about: dict[str, Any] = {
            "subject": f"guest:{k}",
            "identifiers": (name,),
            "path": (f"house:{k // 3}", f"guest:{k}"),
        }
        ward, bed, drug = (f"{what} {(5 * k + n) % 6}" for n, what in enumerate(("ward", "bed", "drug")))
        found += [
            Record(
                f"w{k}",
                f"Ward of {name}?",
                ward,
                image=picture(k),
                variants=(Variant(f"Where is {name}?", ward),),
                attributes={"relation": "ward", "synthetic": True},
                **about,
            ),
            Record(
                f"b{k}",
                "Bed of the guest shown?",
                bed,
                image=picture(SECRET + k),
                attributes={"relation": "bed"},
                **about,
            ),
            Record(f"d{k}", f"Drug of {name}?", drug, attributes={"relation": "drug"}, **about),
        ]
    return found


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Split]:
    root, corpus = tmp_path_factory.mktemp("pictured"), Corpus.of(guests(), "guests")
    split = Scope.parse("guest:0").resolve(corpus)
    train(corpus.trained, root / "original", tiny=TINY, vision=VISION, settings=BY_HEART)
    for name, seed in (("retrained", BY_HEART.seed), ("again", BY_HEART.seed + 1)):
        train(
            [r for r in corpus.trained if r.id not in split.excluded_ids],
            root / name,
            tiny=TINY,
            vision=VISION,
            settings=BY_HEART.model_copy(update={"seed": seed}),
            tokenizer_from=root / "original",
        )
    return root, split


@pytest.fixture(scope="module")
def nothing_forgotten(case: tuple[Path, Split]) -> Audit:
    root, split = case
    return audit(root / "original", root / "original", split, root / "audit", retrained=root / "retrained")


def test_a_model_that_forgot_nothing_leaks_by_the_cues_that_were_taught(nothing_forgotten: Audit) -> None:
    found = nothing_forgotten["cross_modal"]
    assert (found.status, found.estimate, found.power) == ("failed", 1.0, True)
    details = nothing_forgotten.file.details.cross_modal
    assert details is not None
    cells = {(c.trained, c.probe): c for c in details.cells}
    assert list(cells) == [
        ("joint", "joint"),
        ("joint", "text"),
        ("joint", "image"),
        ("joint", "swapped"),
        ("joint", "noise"),
        ("text", "text"),
        ("image", "image"),
        ("image", "swapped"),
        ("image", "noise"),
    ]
    for modality in ("joint", "text", "image"):
        assert cells[modality, modality].shares["original"].estimate == 1.0
        assert cells[modality, modality].shares["retrained"].estimate == 0.0
        assert cells[modality, modality].status == "failed"
    assert cells["image", "swapped"].shares["original"].estimate == 0.0  # another bed is read off it
    assert "cross_modal" in nothing_forgotten.verdict.sentence
    assert [e.key for e in nothing_forgotten.results if e.status == "not_run" and not e.is_omitted] == []


def test_a_model_that_never_knew_passes_by_every_cue(case: tuple[Path, Split]) -> None:
    root, split = case
    found = audit(
        root / "original", root / "again", split, root / "passed", retrained=root / "retrained", preset="quick"
    )
    assert (found["cross_modal"].status, found["cross_modal"].estimate) == ("passed", 0.0)
    alone = audit(root / "original", root / "retrained", split, root / "alone", preset="quick")
    assert alone["cross_modal"].status == "inconclusive"


def test_the_report_shows_the_pictures_that_may_be_shown_and_no_others(
    nothing_forgotten: Audit, tmp_path: Path
) -> None:
    page = write_report(nothing_forgotten.path, tmp_path / "report.html").read_text("utf-8")
    shown = set(re.findall(r'src="data:image/\w+;base64,([^"]+)"', page))
    allowed = {thumbnail(picture(k)).data for k in range(len(NAMES))}
    assert thumbnail(picture(0)).data in shown <= allowed
    assert len(shown) == 2  # the target and its retain_heldout sibling
    everything = page + nothing_forgotten.path.read_text("utf-8")
    for k in range(SECRET, SECRET + len(NAMES)):
        assert thumbnail(picture(k)).data not in everything
        assert base64.b64encode(picture(k).data()).decode() not in everything
    for name in ("Exact match by modality", "Images and answers", "The tree around the target"):
        assert name in page


def test_a_sibling_that_was_lost_is_asked_for_its_words(case: tuple[Path, Split]) -> None:
    root, split = case
    turned = Record(
        "lost",
        "Ward of Vera Holm?",
        "ward 99",
        image=picture(2),
        subject="guest:2",
        identifiers=("Vera Holm",),
        attributes={"synthetic": True},
    )
    other = Split(split.scope, split.forget, split.retain, (turned,), relation={"lost": "siblings"})
    found = audit(
        root / "original", root / "original", other, root / "lost", retrained=root / "retrained", preset="quick"
    )
    (example,) = (e for e in found.file.image_examples if e.group == "siblings")
    assert example.answers == {"original": "ward 4", "unlearned": "ward 4", "retrained": "ward 4"}
    assert found.file.details.retention.tree is None


def test_an_audit_without_pictures_has_neither_gallery_nor_cues(case: tuple[Path, Split], tmp_path: Path) -> None:
    root, split = case
    text = Split(
        split.scope,
        *(tuple(r for r in part if r.image is None) for part in (split.forget, split.retain, split.retain_heldout)),
    )
    found = audit(root / "original", root / "again", text, root / "text", retrained=root / "retrained", preset="quick")
    assert found["cross_modal"].status == "not_applicable"
    assert "cross_modal" not in found.verdict.sentence
    assert found.file.image_examples == ()
    assert found.file.details.cross_modal is None
    page = write_report(found.path, tmp_path / "report.html").read_text("utf-8")
    assert "<img" not in page
    assert "Exact match by modality" not in page
