"""Tiny models of many architectures: four blocks of width 32, 64 tokens, random weights."""

from __future__ import annotations

from typing import Any

import torch
import transformers as tf

from expunge.models.adapters import TrainableConfig, prepare, trainable
from expunge.models.collate import Batch, collate
from expunge.models.prompt_template import Encoded

SPECIAL: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
COMMON: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 64,
    **SPECIAL,
}
OLDER = {k: v for k, v in COMMON.items() if k not in ("num_key_value_heads", "head_dim")}
GPT: dict[str, Any] = {"vocab_size": 64, "n_embd": 32, "n_layer": 4, "n_head": 2, "n_positions": 64, **SPECIAL}
WINDOW: dict[str, Any] = {**COMMON, "sliding_window": 4}  # shorter than most rows below

TEXT = {
    "gpt2": lambda: tf.GPT2Config(**GPT),
    "gptj": lambda: tf.GPTJConfig(**GPT, rotary_dim=8),  # its blocks give tuples
    "gpt_neox": lambda: tf.GPTNeoXConfig(**OLDER),
    "llama": lambda: tf.LlamaConfig(**COMMON),
    "mistral": lambda: tf.MistralConfig(**WINDOW),
    "qwen2": lambda: tf.Qwen2Config(**WINDOW, use_sliding_window=True, max_window_layers=1),
    "qwen3": lambda: tf.Qwen3Config(**COMMON),
    "gemma": lambda: tf.GemmaConfig(**COMMON),
    "gemma2": lambda: tf.Gemma2Config(**WINDOW),
    "gemma3": lambda: tf.Gemma3TextConfig(**WINDOW),
    "phi": lambda: tf.PhiConfig(**OLDER),
    "phi3": lambda: tf.Phi3Config(**WINDOW),
    "olmo2": lambda: tf.Olmo2Config(**COMMON),
    "cohere": lambda: tf.CohereConfig(**COMMON),
    "granite": lambda: tf.GraniteConfig(**COMMON, logits_scaling=3.0),
    "mixtral": lambda: tf.MixtralConfig(**COMMON, num_local_experts=4),
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
IMAGE = 60  # the token that stands for a part of a picture


def text_model(name: str, **changes: Any) -> Any:
    """A causal LM in evaluation mode; `changes` are set on its configuration."""
    config: Any = TEXT[name]()
    for key, value in changes.items():
        setattr(config, key, value)
    torch.manual_seed(0)
    return tf.AutoModelForCausalLM.from_config(config).eval()


def llava(vision_blocks: int = 2) -> Any:
    torch.manual_seed(0)
    return tf.LlavaForConditionalGeneration(
        tf.LlavaConfig(
            vision_config=tf.SiglipVisionConfig(**VISION, num_hidden_layers=vision_blocks),
            text_config=tf.LlamaConfig(**COMMON),
            image_token_id=IMAGE,
        )
    ).eval()


def idefics3() -> Any:
    torch.manual_seed(0)
    return tf.Idefics3ForConditionalGeneration(
        tf.Idefics3Config(
            vision_config={**VISION, "num_hidden_layers": 2},
            text_config=tf.LlamaConfig(**COMMON).to_dict(),
            image_token_id=IMAGE,
            scale_factor=2,
        )
    ).eval()


def shared_keys() -> Any:
    """The two upper blocks use keys and values of the lower ones, so more than a hidden state passes on."""
    torch.manual_seed(0)
    return tf.Gemma4ForCausalLM(
        tf.Gemma4TextConfig(
            **WINDOW,
            vocab_size_per_layer_input=64,
            hidden_size_per_layer_input=8,
            num_kv_shared_layers=2,
            layer_types=["sliding_attention", "full_attention"] * 2,
        )
    ).eval()


def build(name: str) -> Any:
    return {"llava": llava, "idefics3": idefics3}.get(name, lambda: text_model(name))()


def adapted(module: Any, train: TrainableConfig | None = None) -> Any:
    """With adapters on the last two blocks that do something: B is not zero."""
    module = prepare(module, train or TrainableConfig(layers=2, rank=2), seed=0)
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trainable(module).values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=source))
    return module


def ragged(seed: int = 0, rows: int = 5) -> list[Encoded]:
    """Rows of 2 to 14 tokens with answers of 1 to 4."""
    source = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=source))

    def tokens(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(3, 59) for _ in range(draw(low, high)))

    return [Encoded(f"row-{k}", tokens(1, 10), tokens(1, 4)) for k in range(rows)]


def batch(seed: int = 0, rows: int = 5) -> Batch:
    return collate(ragged(seed, rows))
