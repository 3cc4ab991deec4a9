"""A small Llama as a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expunge.models.tiny import build
from helpers.world import small, tokenizer

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.layers.": "blk.",
}


def _interleave(weight: Tensor, heads: int) -> Tensor:
    """Rows of a query or key matrix in the order of llama.cpp: the halves of each head alternate."""
    return weight.reshape(heads, 2, -1, weight.shape[-1]).transpose(1, 2).reshape(weight.shape)


def write_gguf(gguf: Any, file: Path) -> tuple[Path, Tensor]:
    """Write the file in float32; returns it and the logits of the model for six ids."""
    config, words = small(), tokenizer()
    module = build(config, words, seed=0)
    shape = module.config
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(words))
    bpe = json.loads(words.backend_tokenizer.to_str())["model"]
    tokens = sorted(words.get_vocab(), key=lambda token: words.get_vocab()[token])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in bpe["merges"]])
    writer.add_eos_token_id(words.eos_token_id)
    writer.add_pad_token_id(words.pad_token_id)
    for name, weight in module.state_dict().items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            weight = _interleave(weight, config.heads)
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        writer.add_tensor(name, weight.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file, module(input_ids=torch.tensor([[5, 9, 300, 7, 1, 12]])).logits.detach()
