"""Small models with a mixture of experts in each block, of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from expunge.models.language_model import LanguageModel
from helpers.world import tokenizer

EXPERT_KINDS = ("mixtral", "qwen3_moe", "gpt_oss")


def expert_config(kind: str) -> Any:
    """Three blocks of width 32 with four experts, of which two read each token."""
    from transformers import GptOssConfig, MixtralConfig, Qwen3MoeConfig

    ends = tokenizer().eos_token_id
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer()),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 128,
        "eos_token_id": ends,
        "pad_token_id": ends,
        "bos_token_id": None,
    }
    if kind == "mixtral":
        return MixtralConfig(**shape, num_local_experts=4)
    if kind == "qwen3_moe":
        return Qwen3MoeConfig(**shape, head_dim=16, moe_intermediate_size=48, num_experts=4)
    return GptOssConfig(**shape, head_dim=16, num_local_experts=4, layer_types=["full_attention"] * 3)


def write_expert_model(folder: Path, kind: str) -> Path:
    """A folder as `save_pretrained` leaves it."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = AutoModelForCausalLM.from_config(expert_config(kind), dtype=torch.float32).eval()
    return LanguageModel.from_parts(module, tokenizer(), "test").save(folder)
