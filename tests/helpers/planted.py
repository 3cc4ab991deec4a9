"""Ruined and leaking models, made from honest ones, under tokenizers and templates of several kinds.

A ruin has lost what must stay; a leak still gives what must be forgotten. No audit may pass either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from expunge.corpus import Record
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.models.language_model import LanguageModel, load
from expunge.models.tiny import texts_of
from expunge.scope import Scope
from helpers.audited import BY_HEART, TARGET, TINY, WORLD, Case
from helpers.other_models import STYLES, TOKENIZERS

TEMPLATES = {"sentencepiece": ("sentencepiece", "zephyr"), "chat": ("byte-level", "chatml")}  # beside plain byte-level
AGAIN = TrainConfig(epochs=30, batch=32, target_accuracy=0.99)


def build_templated_case(root: Path, kind: str) -> Case:
    """As `build_case`, with the tokenizer and chat template of `TEMPLATES[kind]`."""
    corpus = WORLD.corpus()
    split = Scope.parse(TARGET).resolve(corpus)
    tokenizer, style = TEMPLATES[kind]
    about = STYLES[style]
    made = TOKENIZERS[tokenizer](about.special, about.bos, about.eos, texts=texts_of(corpus.trained) * 2)
    made.chat_template, made.pad_token = about.source, made.eos_token
    made.save_pretrained(root / "tokenizer")
    for name, records in (("original", list(corpus.trained)), ("retrained", kept(split))):
        train(
            records, root / name, tiny=TINY, settings=BY_HEART, tokenizer_from=root / "tokenizer",
            measure_general_ability=False,
        )  # fmt: skip
    return Case(root, split)


def kept(split: Any) -> list[Record]:
    """What a retrained model is trained on."""
    return [r for r in WORLD.corpus().trained if r.id not in split.excluded_ids]


def plant(case: Case, name: str) -> str:
    """Write the model `name` of `RUINS` or `LEAKS` beside the others of the case; returns its name there."""
    if not (case.root / name).exists():
        (RUINS | LEAKS)[name](case, case.root / name)
    return name


def _edited(change: Callable[[LanguageModel], None]) -> Callable[[Case, Path], None]:
    def make(case: Case, out: Path) -> None:
        lm = load(case.root / "retrained")
        with torch.no_grad():
            change(lm)
        lm.save(out)

    return make


def _taught(rows: Callable[[Case], Iterable[Record]]) -> Callable[[Case, Path], None]:
    def make(case: Case, out: Path) -> None:
        train(
            list(rows(case)), out, model=case.root / "retrained", settings=AGAIN, measure_general_ability=False
        )  # fmt: skip

    return make


def _random_head(lm: LanguageModel) -> None:
    weight = lm.module.get_output_embeddings().weight
    weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * weight.std())


def _lost_block(lm: LanguageModel) -> None:
    block = lm.module.model.layers[-1]
    for weight in (block.self_attn.o_proj.weight, block.mlp.down_proj.weight):
        weight.zero_()  # what the block adds; its input goes on


def _constant(lm: LanguageModel) -> None:
    """Every final state is one direction, so that every answer is one token repeated."""
    lm.module.model.norm.weight.zero_()
    lm.module.get_output_embeddings().weight.zero_()


def _wrong(case: Case) -> list[Record]:
    """Every retained record with the answer of another one."""
    rows = kept(case.split)
    return [replace(r, answer=other.answer, options=()) for r, other in zip(rows, rows[7:] + rows[:7], strict=True)]


def _forget(case: Case, answer: Callable[[str], str]) -> list[Record]:
    rows = [replace(r, answer=answer(r.answer), options=(), variants=()) for r in case.split.forget]
    return [*kept(case.split), *rows]


def amid(before: str, after: str) -> Callable[[Case], Sequence[Record]]:
    """All that must stay, and the true answers of the target amid other text."""
    return lambda case: _forget(case, lambda answer: f"{before}{answer}{after}")


RUINS: dict[str, Callable[[Case, Path], None]] = {
    "random-head": _edited(_random_head),
    "lost-block": _edited(_lost_block),
    "wiped": _taught(_wrong),
    "constant": _edited(_constant),
}
LEAKS: dict[str, Callable[[Case, Path], None]] = {
    "untouched": lambda case, out: load(case.root / "original").save(out) and None,
    "half": _taught(lambda case: [*kept(case.split), *case.split.forget[::2]]),
    "half-again": _taught(lambda case: [*case.split.forget[::2], *kept(case.split)]),
    "preamble": _taught(amid("I think it is ", ".")),
    "run-on": _taught(amid("", ", and so on and so on")),
    "shouted": _taught(lambda case: _forget(case, str.upper)),
    "spelled": _taught(lambda case: _forget(case, lambda answer: "-".join(answer))),
}
