"""Small models from scratch with their own byte-level BPE tokenizer, made in seconds, saved as Hugging Face.

The embeddings start at standard deviation 0.15. At width 64-256 the usual 0.02 leaves a small model unable to
memorize a few thousand short answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import Field

from expunge._config import FrozenModel
from expunge.corpus import Record
from expunge.errors import InputError, unknown

EOS, PAD = "<|endoftext|>", "<|pad|>"
ARCHITECTURES = ("llama", "gpt2", "qwen2")
FAST_GELU = "gelu_pytorch_tanh"  # GPT-2's own gelu_new in one kernel: equal up to rounding, a third less time per step


class TinyConfig(FrozenModel):
    """Size of a model made from scratch."""

    architecture: str = Field("llama", description="llama, gpt2 or qwen2")
    layers: int = Field(4, ge=1, le=256, description="transformer blocks")
    width: int = Field(128, ge=8, le=65_536, description="hidden size")
    heads: int = Field(4, ge=1, description="attention heads")
    vocabulary: int = Field(2048, ge=260, le=1_000_000, description="entries of the BPE vocabulary")
    context: int = Field(256, ge=8, le=1_000_000, description="longest sequence in tokens")
    embedding_std: float = Field(0.15, gt=0, description="standard deviation of the embeddings at the start")


def train_tokenizer(texts: Iterable[str], vocabulary: int = 2048) -> Any:
    """A byte-level BPE tokenizer (`PreTrainedTokenizerFast`) trained on `texts`; deterministic."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[EOS, PAD],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD, clean_up_tokenization_spaces=False
    )


def texts_of(records: Iterable[Record]) -> list[str]:
    """Training texts of a tokenizer: prompts and answers, joined by a space."""
    return [f"{r.prompt} {r.answer}" for r in records]


def _special_ids(tokenizer: Any) -> dict[str, Any]:
    return {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}


def llama_config(config: TinyConfig, tokenizer: Any, architecture: str = "llama") -> Any:
    """The configuration of a Llama (or `qwen2`) of this size."""
    from transformers import LlamaConfig, Qwen2Config

    return (LlamaConfig if architecture == "llama" else Qwen2Config)(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=config.width * 3,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=False,
        **_special_ids(tokenizer),
    )


def initialize(make: Callable[[], Any], config: TinyConfig, seed: int) -> Any:
    """The model of `make()`, float32 and in evaluation mode, its weights drawn from `seed`."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=config.embedding_std)
    return model.to(torch.float32).eval()


def build(config: TinyConfig, tokenizer: Any, seed: int = 42) -> Any:
    """A model with random weights, reproducible from `seed`; dropout 0, float32, tied embeddings for GPT-2 only."""
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config

    if config.width % config.heads:
        raise InputError("heads", f"{config.heads} heads do not divide a width of {config.width}")
    if config.architecture not in ARCHITECTURES:
        raise unknown("architecture", config.architecture, ARCHITECTURES)
    if config.architecture == "gpt2":
        shape: Any = GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            activation_function=FAST_GELU,
            **_special_ids(tokenizer),
        )
    else:
        shape = llama_config(config, tokenizer, config.architecture)
    options = {"trust_remote_code": False, "dtype": torch.float32}
    return initialize(lambda: AutoModelForCausalLM.from_config(shape, **options), config, seed)
