"""Does an exported model say what the run says? Logits on fixed texts, compared."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.errors import RunFailed
from expunge.models.forward import relative_difference
from expunge.models.language_model import load
from expunge.models.loading import guard_loading

TEXTS = (
    "The capital of France is",
    "Question: What is the diagnosis of the patient?\nAnswer:",
    "Die Patientin wurde am Montag",
    "def add(a, b):\n    return",
    "1 2 3 4 5 6 7",
    "Once upon a time there was a small house at the end of the street, and in it",
)
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}  # of the largest logit; quantized: as bfloat16


@dataclass(frozen=True)
class LogitComparison:
    """How far two models are apart on fixed texts.

    Attributes:
        difference: largest difference of two logits.
        share: the same as a share of the largest logit, which is what is judged.
        tolerance: largest share allowed for the written precision.
        texts: number of texts.
        agreement: share of positions with the same most probable token.
    """

    difference: float
    share: float
    tolerance: float
    texts: int
    agreement: float

    def to_dict(self) -> dict[str, Any]:
        return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in asdict(self).items()}


@torch.no_grad()
def probe_logits(source: str, device: str | None = None) -> list[Tensor]:
    """Logits [T, V] of a model on each of `TEXTS`, float32 on the CPU."""
    lm = load(source, device=device)
    logits = []
    with guard_loading(source):
        for text in TEXTS:
            ids = torch.tensor([lm.tokenizer(text)["input_ids"][: lm.context]], device=lm.device)
            logits.append(lm.module(input_ids=ids, use_cache=False).logits[0].float().cpu())
    del lm
    gc.collect()
    return logits


def compare(before: list[Tensor], after: list[Tensor], where: str, precisions: Iterable[str]) -> LogitComparison:
    """Compare the logits of two models.

    Args:
        before: of the run.
        after: of the export.
        where: the export, in the message.
        precisions: of the run and of the export; the coarser one sets the tolerance.

    Raises:
        RunFailed: they differ by more than the tolerance of the precision, or have other shapes.
    """
    if [x.shape for x in before] != [x.shape for x in after]:
        raise RunFailed(where, "reads texts as other tokens than the run", "export it again")
    ours, theirs = torch.cat([x.flatten() for x in after]), torch.cat([x.flatten() for x in before])
    same = torch.cat([(a.argmax(-1) == b.argmax(-1)).float() for a, b in zip(after, before, strict=True)])
    result = LogitComparison(
        difference=float((ours - theirs).abs().max()),
        share=relative_difference(ours, theirs),
        tolerance=max(TOLERANCE.get(name, TOLERANCE["bfloat16"]) for name in precisions),
        texts=len(before),
        agreement=float(same.mean()),
    )
    if not result.share <= result.tolerance:
        raise RunFailed(
            where,
            f"its logits differ from the run's by a share of {result.share:.2g}, more than {result.tolerance:g}",
            "nothing was written; export in float32, or report this",
        )
    return result
