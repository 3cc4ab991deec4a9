"""A tiny chat model: two blocks with random weights, and a tokenizer with a ChatML template."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from expunge.models.tiny import TinyConfig, build, train_tokenizer

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_chat_model(folder: Path, texts: Iterable[str], vocabulary: int = 600, context: int = 256) -> Path:
    """Write a folder that transformers loads; the model knows nothing."""
    tokenizer = train_tokenizer([*texts, "user assistant system"], vocabulary)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"], "eos_token": "<|im_end|>"})
    tokenizer.chat_template = TEMPLATE
    module = build(TinyConfig(layers=2, width=32, heads=2, context=context), tokenizer)
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
