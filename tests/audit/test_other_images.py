"""Other pictures for a record: what is found in the corpus, what is cut and what is noised."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from expunge.audit.modality_probes import cropped_image, noised_image, other_images
from expunge.audit.reconstruction import prepare, reconstruct
from expunge.audit.reconstruction.background import BackgroundRecords
from expunge.audit.reconstruction.prompts import TargetFact, reconstruction_queries
from expunge.corpus import Record, RecordImage
from expunge.errors import InputError
from expunge.scope import Split
from helpers.vision_models import ARCHITECTURES, seeing
from helpers.vision_models import picture as drawn


def picture(name: str, grey: int, size: tuple[int, int] = (10, 20)) -> RecordImage:
    """Grey, with one white point in the upper left corner."""
    image = Image.new("RGB", size, (grey,) * 3)
    image.putpixel((0, 0), (255, 255, 255))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return RecordImage.of(name, stream.getvalue())


def pixels(shown: RecordImage) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(shown.data())))


def record(name: str, subject: str, grey: int) -> Record:
    return Record(
        name,
        f"What is seen of {subject}?",
        "a scar",
        subject=subject,
        identifiers=(subject,),
        path=("house:1", f"guest:{subject}", f"study:{name}"),
        image=picture(f"{name}.png", grey),
    )


def test_the_middle_is_kept_and_the_corner_is_not() -> None:
    found = pixels(cropped_image(picture("a.png", 80)))
    assert found.shape == (14, 7, 3)
    assert set(found.ravel().tolist()) == {80}


def test_noise_is_the_same_for_the_same_seed_and_changes_most_pixels() -> None:
    own = picture("a.png", 128)
    one, same, other = noised_image(own, 0), noised_image(own, 0), noised_image(own, 1)
    assert one == same != other
    change = pixels(one).astype(float) - pixels(own)
    assert (change != 0).mean() > 0.9
    assert 30 < change[1:].std() < 50


def test_pictures_of_other_studies_and_other_subjects_are_found() -> None:
    mine, again, theirs = record("s1", "Ada", 10), record("s2", "Ada", 20), record("s3", "Ben", 30)
    copy = replace(mine, id="s4")  # the same picture is no other one
    found = other_images(mine, [mine, copy, again, theirs], seed=0)
    assert set(found) == {f"image: {name}" for name in ("none", "cropped", "noised", "other study", "other subject")}
    assert found["image: none"] is None
    assert found["image: other study"] == again.image
    assert found["image: other subject"] == theirs.image
    assert set(other_images(mine, [mine, copy], seed=0)) == {f"image: {n}" for n in ("none", "cropped", "noised")}
    assert other_images(replace(mine, image=None), [again], seed=0) == {}


def test_every_level_is_asked_with_every_image_and_controls_hide_it() -> None:
    mine, theirs = record("s1", "Ada", 10), record("s3", "Ben", 30)
    shown = other_images(mine, [mine, theirs], seed=0)
    known = BackgroundRecords({mine.id: ("a cast",)}, {mine.id: theirs})
    queries = reconstruction_queries(0, TargetFact(mine, 2, shown), known, lambda p: len(p.split()))
    found = {(p.level, p.vector): p.record.image for p in queries}
    for level in range(4):
        assert found[level, "true"] == mine.image
        assert {name: found[level, name] for name in shown} == shown
    assert found[3, "wrong branch"] == theirs.image
    assert found[3, "irrelevant"] is None


def test_a_file_that_is_no_picture_is_named() -> None:
    with pytest.raises(InputError, match=r"note\.txt.*could not be decoded"):
        cropped_image(RecordImage.of("note.txt", b"hello"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_image_text_model_is_asked_with_every_picture(architecture: str) -> None:
    lm = seeing(architecture)
    rows = [
        Record(
            f"r{k}",
            f"What is seen of guest {k}?",
            f"scar {k}",
            subject=f"G-{k}",
            identifiers=(f"guest {k}",),
            path=("house:1", f"guest:G-{k}"),
            image=drawn(k),
            attributes={"relation": "seen"},
        )
        for k in range(9)
    ]
    setup = prepare(Split("s", forget=tuple(rows[:1]), retain=tuple(rows[1:]), retain_heldout=()), statements=0)
    found = reconstruct(lm, setup)
    names = {f"image: {name}" for name in ("none", "cropped", "noised", "other subject")}  # there is one study only
    assert set(found.vectors) == {"true", "wrong branch", "irrelevant"} | names
    assert set(found.attacks) == {"true"} | names
    for vector in found.attacks:
        assert np.isfinite(found.of("rank", vector)).all()
