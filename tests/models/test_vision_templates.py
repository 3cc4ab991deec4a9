"""Image-text models whose chat template wants parts, or only texts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.models.language_model import LanguageModel
from helpers.other_models import STYLES
from helpers.vision_models import rows, seeing

PARTS = STYLES["parts"].source.replace("<image>\\n", "<image>")
TEXTS = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
BOTH = (
    "{% for m in messages %}{{ m['role'] + ': ' }}{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for p in m['content'] %}{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}{% endif %}{{ '\n' }}"
    "{% endfor %}"
)


def with_template(source: str) -> LanguageModel:
    lm = seeing()
    lm.tokenizer.chat_template = source.replace("<image>", lm.template.vision_processor.token)  # type: ignore[union-attr]
    processor = lm.template.vision_processor.processor  # type: ignore[union-attr]
    return LanguageModel.from_parts(lm.module, lm.tokenizer, "scratch", processor=processor)


@pytest.mark.parametrize("source", [PARTS, TEXTS, BOTH])
def test_question_and_image_stand_in_the_prompt_with_and_without_a_picture(source: str) -> None:
    lm = with_template(source)
    shown = rows()[1]
    blind = replace(shown, image=None)
    seen, read = lm.template.encode(shown), lm.template.encode(blind)
    token = lm.tokenizer.convert_tokens_to_ids(lm.template.vision_processor.token)  # type: ignore[union-attr]
    for item in (seen, read):
        assert shown.prompt in lm.tokenizer.decode(item.prompt)
    assert seen.answer == read.answer
    assert seen.image is not None
    assert seen.prompt.count(token) >= 1
    assert token not in read.prompt
    others = {lm.template.encode(replace(r, image=None)).prompt for r in rows()}
    assert len(others) == len(rows())
