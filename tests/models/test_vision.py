"""Image-text models on the same code paths as text models; images are encoded once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.audit.scoring import score
from expunge.corpus import Record, RecordImage
from expunge.errors import InputError
from expunge.models.adapters import TrainableConfig, block_stack, prepare, trainable, vision_linear_names
from expunge.models.collate import collate
from expunge.models.forward import answer_forward, greedy
from expunge.models.language_model import LanguageModel, load
from expunge.models.prefix_cache import PrefixCache
from expunge.models.prompt_template import Encoded
from expunge.models.shared_prefix_scoring import score_options
from expunge.models.vision.feature_cache import vision_module
from expunge.models.vision.inputs import ImageBatch, ImageInputs
from helpers.vision_models import ARCHITECTURES, picture, rows, seeing


@pytest.fixture(params=ARCHITECTURES)
def lm(request: pytest.FixtureRequest) -> LanguageModel:
    return seeing(request.param)


def plain(lm: LanguageModel, item: Any) -> torch.Tensor:
    """Logits at the answer of one row, by the model alone."""
    batch = collate([item])
    return lm.module(**batch.inputs).logits[0, batch.index[0]]  # type: ignore[no-any-return]


def test_a_batch_of_texts_and_images_gives_what_each_row_gives_alone(lm: LanguageModel) -> None:
    items = lm.template.encode_all(rows())
    batch = collate(items)
    result = answer_forward(lm.module, batch).logits
    for k, item in enumerate(items):
        torch.testing.assert_close(result[k, : len(item.answer)], plain(lm, item), rtol=1e-4, atol=1e-4)
    assert len(set(batch.images.digests)) == 4 < len(batch.images.digests)


def test_the_image_changes_the_answer_and_stands_before_its_prompt(lm: LanguageModel) -> None:
    shown = rows()[1]
    item, other = (lm.template.encode(r) for r in (shown, replace(shown, image=picture(9))))
    assert item.prompt == other.prompt
    assert not torch.allclose(plain(lm, item), plain(lm, other))
    words = lm.template.encode(replace(shown, image=None)).prompt
    assert item.prompt[-len(words) :] == words
    assert lm.module.config.image_token_id in item.prompt[: -len(words)]


def test_features_are_computed_once_and_again_when_a_weight_changes(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner: Any = vision_module(lm.module)
    looks: list[int] = []
    plainly = type(owner).get_image_features

    def counted(self: Any, pixel_values: torch.Tensor, *more: Any, **named: Any) -> Any:
        looks.append(len(pixel_values))
        return plainly(self, pixel_values, *more, **named)

    monkeypatch.setattr(type(owner), "get_image_features", counted)
    for p in lm.module.parameters():
        p.requires_grad_(False)
    batch = collate(lm.template.encode_all(rows()))
    first = answer_forward(lm.module, batch).logits
    assert torch.equal(first, answer_forward(lm.module, batch).logits)
    assert looks == [4]
    side = next(p for n, p in owner.named_parameters() if "vision" in n and p.dim() > 1)
    with torch.no_grad():
        side.add_(0.05 * torch.randn(side.shape, generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(first, answer_forward(lm.module, batch).logits)
    assert looks == [4, 4]


def test_the_vision_side_trains_through_images_that_several_rows_share(lm: LanguageModel) -> None:
    """The gradient of a batch is the sum of the gradients of its rows."""
    items = [i for i in lm.template.encode_all(rows()) if i.image]
    weight = next(p for n, p in lm.module.named_parameters() if "vision" in n and "fc1.weight" in n)
    batch = collate(items)
    answer_forward(lm.module, batch).logprob(batch).sum().backward()  # type: ignore[no-untyped-call]
    together, weight.grad = weight.grad, None
    for item in items:
        one = collate([item])
        answer_forward(lm.module, one).logprob(one).sum().backward()  # type: ignore[no-untyped-call]
    assert together is not None
    torch.testing.assert_close(together, weight.grad, rtol=1e-3, atol=1e-4)


def test_greedy_text_and_shared_prompts_use_the_image(lm: LanguageModel) -> None:
    items = lm.template.encode_all(rows())
    prompts, images = [i.prompt for i in items], [i.image for i in items]
    together = greedy(lm.module, prompts, lm.template.stops, 5, images=images)
    assert together == [
        greedy(lm.module, [p], lm.template.stops, 5, images=[s])[0] for p, s in zip(prompts, images, strict=True)
    ]
    queries = [replace(i, answer=a) for i in items for a in ((7, 8, 0), (9, 0))]

    def whole(logits: torch.Tensor, at: torch.Tensor, label: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
        return logits[at].log_softmax(-1).gather(-1, label.unsqueeze(-1))

    for item, result in zip(queries, score_options(lm.module, queries, whole), strict=True):
        own = plain(lm, item).log_softmax(-1).gather(-1, torch.tensor(item.answer).unsqueeze(-1))
        torch.testing.assert_close(result, own, rtol=1e-3, atol=1e-3)


def test_a_saved_image_text_model_gives_the_same_logits(lm: LanguageModel, tmp_path: Path) -> None:
    lm.save(tmp_path / "m")
    again = load(tmp_path / "m")
    records = rows()
    before, after = (score(m, records, text=True) for m in (lm, again))
    assert before.text == after.text
    assert before.logp.tolist() == pytest.approx(after.logp.tolist(), abs=1e-5)


def test_the_frozen_prefix_is_exact_for_rows_with_images(lm: LanguageModel) -> None:
    module = prepare(lm.module, TrainableConfig(layers=1), 0)
    items = lm.template.encode_all(rows())
    cache = PrefixCache.build(module, items, budget=1 << 20)
    assert isinstance(cache, PrefixCache), cache
    batch = collate(items)
    with cache.context(range(len(items)), batch):
        result = answer_forward(module, batch).logits
    torch.testing.assert_close(result, answer_forward(module, batch).logits, rtol=1e-4, atol=1e-4)


def test_adapters_go_where_the_recipe_says(lm: LanguageModel) -> None:
    stack, count = block_stack(lm.module)
    assert count == 3
    assert not any("vision" in n for n in [stack])
    vision, connector = (vision_linear_names(lm.module, part, 1) for part in ("vision", "connector"))
    assert all(".1." in name and "vision" in name for name in vision)
    assert connector
    assert not any("vision" in name or "layers" in name for name in connector)
    module = prepare(lm.module, TrainableConfig(layers=1, towers=("vision", "connector")), 0)
    assert trainable(module)
    assert not any("lora" in name and stack in name for name in trainable(module))


def test_a_text_model_refuses_images_and_towers_in_one_line(folders: dict[str, Path]) -> None:
    blind = load(folders["llama"])
    with pytest.raises(InputError, match='record "r1": shows an image, but the model reads text only'):
        blind.template.encode(rows()[1])
    with pytest.raises(InputError, match="this model reads text only, so it has no vision"):
        prepare(blind.module, TrainableConfig(towers=("vision",)), 0)


def test_what_is_no_image_is_refused_in_one_line() -> None:
    broken = replace(rows()[1], image=RecordImage.of("images/x.png", b"no picture"))
    with pytest.raises(InputError, match=r'picture "images/x.png": could not be decoded'):
        seeing().template.encode(broken)


def test_a_prompt_too_long_with_its_image_is_refused() -> None:
    long = Record("long", "word " * 60, "ward 1", image=picture(1))
    with pytest.raises(InputError, match="the model reads at most 64"):
        seeing().template.encode(long)


def test_smaller_images_are_padded_and_selected_by_row() -> None:
    """A row of one tile beside a row of two: zeros fill the missing tile."""
    small, large = (ImageInputs(name, {"pixel_values": torch.ones(1, n, 2)}) for name, n in (("a", 1), ("b", 2)))
    recorded = ImageBatch.of([small, None, large])
    assert recorded.inputs["pixel_values"].tolist() == [[[1, 1], [0, 0]], [[1, 1], [1, 1]]]
    assert (recorded.digests, recorded.rows) == (("a", "b"), (0, 2))
    assert recorded.of_row(2).inputs["pixel_values"].tolist() == [[[1, 1], [1, 1]]]
    assert not recorded.of_row(1).digests


def qwen() -> Any:
    """A tiny Qwen2.5-VL, whose positions follow its pictures; its processor needs torchvision, so inputs are made."""
    import transformers as tf

    ids = {"image_token_id": 60, "video_token_id": 61, "vision_start_token_id": 62, "vision_end_token_id": 63}
    text = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 64,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
    }
    sight = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 32,
        "out_hidden_size": 32,
        "patch_size": 14,
        "fullatt_block_indexes": [1],
    }
    torch.manual_seed(0)
    return tf.Qwen2_5_VLForConditionalGeneration(
        tf.Qwen2_5_VLConfig(vision_config=sight, text_config=text, **ids)
    ).eval()


def patches(name: str, rows: int, columns: int) -> ImageInputs:
    pixels = torch.randn(rows * columns, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(rows * columns))
    return ImageInputs(
        name,
        {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, rows, columns]])},
        (60, ("mm_token_type_ids",)),
    )


def test_a_model_with_image_dependent_positions_gets_token_types() -> None:
    """Two sizes of picture and texts in one batch: logits and greedy text are those of each row alone."""
    module = qwen()
    shown = {"a": patches("a", 4, 4), "b": patches("b", 6, 4)}
    items = [
        Encoded(f"r{k}", (62, *(60,) * n, 63, 20 + k, 21) if n else (20 + k, 21, 22), (30 + k, 31, 2), shown.get(name))
        for k, (name, n) in enumerate([("a", 4), ("", 0), ("b", 6), ("a", 4)])
    ]
    batch = collate(items)
    result = answer_forward(module, batch).logits
    for k, item in enumerate(items):
        one = collate([item])
        torch.testing.assert_close(result[k, :3], module(**one.inputs).logits[0, one.index[0]], rtol=1e-4, atol=1e-4)
    blind = {name: t for name, t in batch.inputs.items() if name != "mm_token_type_ids"}
    assert not torch.equal(module(**blind).logits, module(**batch.inputs).logits)
    prompts, images = [i.prompt for i in items], [i.image for i in items]
    assert greedy(module, prompts, (), 3, images=images) == [
        greedy(module, [p], (), 3, images=[s])[0] for p, s in zip(prompts, images, strict=True)
    ]
