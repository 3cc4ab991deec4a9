"""Edits of models that see: whose picture it was, what is weighed against what, and that all towers are edited."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import pytest
import torch

from expunge.corpus import Record, RecordImage
from expunge.engine.activation_stats import gather
from expunge.engine.neuron_groups import find_neuron_groups
from expunge.engine.weight_editing import edit_weights
from expunge.methods.chip import Chip
from expunge.methods.editing import FORGET, RETAIN
from expunge.methods.manu import TEXT, Manu
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import texts_of, train_tokenizer
from expunge.models.vision.tiny_vision import TinyVision, build_vision
from expunge.scope import Split
from helpers.world import one_person, people, small

ARCHITECTURES = ("idefics3", "llava")
every_model = pytest.mark.parametrize("architecture", ARCHITECTURES)


@cache
def picture(shade: int) -> RecordImage:
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.new("RGB", (96, 96), (shade, 255 - shade, 7 * shade % 256)).save(buffer, "PNG")
    return RecordImage.of(f"{shade}.png", buffer.getvalue())


def seeing(architecture: str) -> LanguageModel:
    tokenizer = train_tokenizer(texts_of(people()), 400)
    vision = TinyVision(architecture=architecture, width=16, heads=2)
    module, processor = build_vision(vision, small(layers=2), tokenizer)
    return LanguageModel.from_parts(module, tokenizer, "test", processor=processor)


def shown() -> Split:
    """Two records of the target show one picture, one shows none; of what stays every other record shows one."""
    split = one_person()
    forget = tuple(replace(r, image=picture(10) if k < 2 else None) for k, r in enumerate(split.forget[:3]))
    retain = tuple(replace(r, image=picture(20 + k) if k % 2 else None) for k, r in enumerate(split.retain[:6]))
    return replace(split, forget=forget, retain=retain)


@every_model
def test_a_shared_image_counts_twice_and_texts_never_reach_the_connector(architecture: str) -> None:
    lm, split, chip = seeing(architecture), shown(), Chip()
    found = find_neuron_groups(lm.module, chip.selectors())
    stats, read = gather(lm, chip, found, chip.rows(split.forget, split.retain))
    assert read == 9
    parts = {site.part for site in found}
    assert parts == {"language", "connector"}
    for site in found:
        rows = stats[site.name].rows
        assert (rows[FORGET], rows[RETAIN]) == ((2, 3) if site.part == "connector" else (3, 6))


def vector(lm: LanguageModel, record: Record, edit: Chip) -> torch.Tensor:
    site = find_neuron_groups(lm.module, edit.selectors())[0]
    stats, _ = gather(lm, edit, [site], [row for row in edit.rows([record], [record]) if FORGET in row.groups])
    return stats[site.name].mean(FORGET, "a")


@every_model
def test_picture_and_text_are_told_apart(architecture: str) -> None:
    lm, record = seeing(architecture), shown().forget[0]
    weighed, text, seen = (vector(lm, record, Chip(image=p)) for p in (0.3, 0.0, 1.0))
    torch.testing.assert_close(weighed, 0.7 * text + 0.3 * seen, rtol=1e-5, atol=1e-6)
    assert float((text - seen).norm()) > 1e-3
    item = lm.template.encode(record)
    places = torch.tensor(item.prompt) == lm.module.config.image_token_id
    assert 0 < int(places.sum()) < len(places)


@every_model
def test_chip_edits_language_and_connector(architecture: str) -> None:
    lm, split = seeing(architecture), shown()
    changes, _ = edit_weights(lm, Chip(), split)
    assert {change.group.part for change in changes if change.norm > 0} == {"language", "connector"}


@every_model
def test_manu_reads_records_with_and_without_images_and_edits_both_towers(architecture: str) -> None:
    lm, split, manu = seeing(architecture), shown(), Manu(share=0.1)
    found = find_neuron_groups(lm.module, manu.selectors())
    stats, read = gather(lm, manu, found, manu.rows(split.forget, split.retain))
    assert read == 9 + 5
    for site in found:
        rows = stats[site.name].rows
        if site.part == "vision":
            assert rows == {FORGET: 2, RETAIN: 3}
        else:
            assert rows == {FORGET: 3, FORGET + TEXT: 3, RETAIN: 6, RETAIN + TEXT: 6}
    changes, _ = edit_weights(lm, manu, split)
    assert {change.group.part for change in changes} == {"language", "vision"}
    assert {c.group.part for c in edit_weights(seeing(architecture), Manu(vision=False), split)[0]} == {"language"}
