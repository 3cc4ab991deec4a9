"""Tokenizers and chat templates as other people's models have them, made from scratch.

`TOKENIZERS` builds a tokenizer of each kind with given special tokens; `STYLES` are chat templates in the
manner of well-known models, each with its special tokens, its end token, and what it can do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaTokenizer, PreTrainedTokenizerFast

from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import TinyConfig, build

NAMES = ("Anna Müller", "Jürgen Groß", "Zoë Ek", "Otto Lind", "Vera Holm", "Ada Costa", "Nils Berg", "Mia Kuhn")
ANSWERS = ("ward 7", "Åbo", "12 March", "insulin", "Dr. Fuß", "blue", "yes", "a cat, two dogs")


def records(count: int = 20) -> list[Record]:
    """Short questions and answers, umlauts among them; no question occurs twice."""
    asked = ("Where is {}?", "What does {} take?", "Who knows {}, and why?")
    return [
        Record(f"r{k}", asked[k // len(NAMES)].format(NAMES[k % len(NAMES)]), ANSWERS[(k * 3 + k // 8) % len(ANSWERS)])
        for k in range(count)
    ]


def _texts() -> list[str]:
    lines = [f"{r.prompt} {r.answer}" for r in records()] * 4
    return [*lines, "Answer in one word.", "user system assistant model date Today USER: ASSISTANT: [INST] [/INST]"] * 2


def byte_level(special: Sequence[str], bos: str | None, eos: str, texts: Sequence[str] = ()) -> Any:
    """As GPT-2, Qwen, SmolLM and Llama-3: bytes, a space belongs to the word behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts or _texts(), trainer)
    if bos:
        start = tokenizer.token_to_id(bos)
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, start)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)


def sentencepiece(
    special: Sequence[str], bos: str | None, eos: str, texts: Sequence[str] = (), legacy: bool = False
) -> Any:
    """As Llama-2, TinyLlama and Mistral: the class of transformers, `▁` before a text, bytes for what is unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=True)
    every_byte = [f"<0x{k:02X}>" for k in range(256)]
    tokenizer.train_from_iterator(
        texts or _texts(),
        trainers.BpeTrainer(
            vocab_size=900, special_tokens=["<unk>", "<s>", "</s>", *every_byte], show_progress=False, limit_alphabet=60
        ),
    )
    model = json.loads(tokenizer.to_str())["model"]
    made = LlamaTokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        bos_token=bos or "<s>",
        eos_token=eos,
        legacy=legacy,
        add_bos_token=bos is not None,
    )
    made.add_special_tokens({"additional_special_tokens": [s for s in special if s not in (bos, eos)]})
    return made


def sentencepiece_legacy(special: Sequence[str], bos: str | None, eos: str) -> Any:
    """As `sentencepiece`, with the older way to put `▁` behind control tokens too."""
    return sentencepiece(special, bos, eos, legacy=True)


def unigram(special: Sequence[str], bos: str | None, eos: str) -> Any:
    """As T5, Gemma's relatives and XGLM: a Unigram vocabulary, `▁` always before a text."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<unk>", *special], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([*_texts(), "\n\n", "a\nb\n"], trainer)
    if bos:
        start = tokenizer.token_to_id(bos)
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, start)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, unk_token="<unk>")


TOKENIZERS: dict[str, Callable[[Sequence[str], str | None, str], Any]] = {
    "byte-level": byte_level,
    "sentencepiece": sentencepiece,
    "sentencepiece-legacy": sentencepiece_legacy,
    "unigram": unigram,
}


@dataclass(frozen=True)
class Style:
    """A chat template with its tokens.

    end: Text of the token that ends an answer. starts: What stands between the question's turn and the answer.
    system: Whether a system turn is allowed. more_ends: Other tokens at which the model stops, by its settings.
    """

    source: str
    special: tuple[str, ...]
    bos: str | None
    eos: str
    end: str
    starts: str
    system: bool = True
    more_ends: tuple[str, ...] = ()


STYLES = {
    "chatml": Style(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        None,
        "<|endoftext|>",
        "<|im_end|>",
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    "llama-3": Style(
        "{{- bos_token }}{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content']|trim %}"
        "{%- set messages = messages[1:] %}{%- else %}{%- set system = '' %}{%- endif %}"
        "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}"
        "{{- 'Today Date: ' + strftime_now('%d %b %Y') + '\\n\\n' + system + '<|eot_id|>' }}"
        "{%- for m in messages %}"
        "{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}",
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|eot_id|>",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "zephyr": Style(
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token + '\\n' }}"
        "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}{% endfor %}",
        ("<s>", "</s>"),
        "<s>",
        "</s>",
        "</s>",
        "</s>\n<|assistant|>\n",
    ),
    "gemma": Style(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% if m['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = m['role'] %}{% endif %}"
        "{{ '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<bos>",
        "<eos>",
        "<end_of_turn>",
        "<end_of_turn>\n<start_of_turn>model\n",
        system=False,
    ),
    "qwen3": Style(
        "{%- set ns = namespace(last=0) %}"
        "{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
        "{%- for m in messages %}{%- set content = m.content %}{%- set thought = '' %}"
        "{%- if m.role == 'assistant' and '</think>' in content %}"
        "{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
        "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
        "{{- '<|im_start|>' + m.role + '\\n' }}"
        "{%- if m.role == 'assistant' and loop.index0 > ns.last %}"
        "{{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}{%- endif %}"
        "{{- content + '<|im_end|>\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        None,
        "<|im_end|>",
        "<|im_end|>",
        "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    ),
    "llama-2": Style(
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
        "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}"
        "{% else %}{{ '<<SYS>>\\n' + m['content'] + '\\n<</SYS>>\\n\\n' }}{% endif %}{% endfor %}",
        ("<s>", "</s>"),
        "<s>",
        "</s>",
        "</s>",
        " [/INST] ",
    ),
    "parts": Style(
        "{% for m in messages %}{{ m['role'].upper() + ': ' }}"
        "{% for part in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
        "{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
        ("<s>", "</s>", "<image>"),
        "<s>",
        "</s>",
        "</s>",
        " ASSISTANT: ",
    ),
    "header-ends": Style(
        "{{ '[gMASK]' }}{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
        ("[gMASK]", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>"),
        None,
        "<|endoftext|>",
        "<|user|>",
        "<|assistant|>\n",
        more_ends=("<|endoftext|>", "<|user|>"),
    ),
}  # style → as the models that are named so write a conversation


@cache
def tokenizer_of(kind: str, style: str) -> Any:
    """A tokenizer of this kind with the chat template of this style."""
    about = STYLES[style]
    made = TOKENIZERS[kind](about.special, about.bos, about.eos)
    made.chat_template = about.source
    return made


def stops_of(kind: str, style: str) -> list[int]:
    """What the generation settings of such a model name."""
    return [int(tokenizer_of(kind, style).convert_tokens_to_ids(name)) for name in STYLES[style].more_ends]


def model_of(kind: str, style: str, seed: int = 0, template: str = "auto") -> LanguageModel:
    """A small Llama with random weights and this tokenizer; its settings name the end token of the tokenizer only."""
    tokenizer = tokenizer_of(kind, style)
    tokenizer.pad_token = tokenizer.eos_token
    module = build(TinyConfig(layers=2, width=64, heads=4, context=128), tokenizer, seed)
    module.generation_config.eos_token_id = stops_of(kind, style) or tokenizer.eos_token_id
    return LanguageModel.from_parts(module, tokenizer, style, template)
