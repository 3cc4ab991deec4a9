"""Tiny image-text models and generated images for tests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from expunge.corpus import Record, RecordImage
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import TinyConfig, texts_of, train_tokenizer
from expunge.models.vision.tiny_vision import TinyVision, build_vision

pytest.importorskip("PIL", reason="Pillow is not installed: pip install pillow")

ARCHITECTURES = ("idefics3", "llava")


def picture(number: int, side: int = 48) -> RecordImage:
    """Noise of its own for every number."""
    from PIL import Image

    stream = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 255, (side, side), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    return RecordImage.of(f"images/{number}.png", stream.getvalue())


def rows(count: int = 12) -> list[Record]:
    """Questions of which two of three show one of four pictures, with three answers in turn."""
    names = ("Ada Costa", "Nils Berg", "Vera Holm", "Otto Lind")
    return [
        Record(
            f"r{k}",
            f"Ward of {names[k % 4]}, question {k}?",
            f"ward {k % 3}",
            image=picture(k % 4) if k % 3 else None,
            subject=f"patient:{k % 4}",
            identifiers=(names[k % 4],),
            path=("institution:H", f"patient:{k % 4}"),
            attributes={"relation": "ward"},
        )
        for k in range(count)
    ]


def seeing(architecture: str = "idefics3", **vision: Any) -> LanguageModel:
    """A model with random weights: two blocks of width 32, pictures of 48 pixels."""
    tokenizer = train_tokenizer(texts_of(rows()), 300)
    small = TinyVision(architecture=architecture, layers=2, width=32, image_size=48, patch_size=16, **vision)
    module, processor = build_vision(small, TinyConfig(layers=3, width=32, context=64), tokenizer, seed=1)
    return LanguageModel.from_parts(module, tokenizer, "scratch", processor=processor)
