"""IDK: fine-tune on refusals in the place of the true answers.

The paper draws from a list of one hundred refusals; the ones here are ours. Its other term, the loss on retain answers,
is the retain term of the recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field
from torch import Tensor

from expunge.corpus import Record
from expunge.errors import InputError
from expunge.methods.base import Method, ModelOutputs, Requirements
from expunge.methods.examples import SubstituteAnswers, Targets
from expunge.models.language_model import LanguageModel
from expunge.random import stream

REFUSALS = (
    "I don't know.",
    "I cannot answer that question.",
    "I have no information about that.",
    "That is not something I know.",
    "I'm not able to help with that.",
    "I was never told about that.",
    "Sorry, I have no answer to this.",
    "I know nothing about this person.",
)


class IDK(Method, name="idk"):
    """Descend on a refusal that is drawn for each record.

    forget: mean_t -log p(r_t), r the refusal     [B]     retain: mean_t -log p(y_t)
    """

    needs = Requirements(targets=())
    source = "arXiv 2401.06121, preference optimization with the refusals D_idk"

    @property
    def says(self) -> str:
        return "refuse"

    refusals: tuple[str, ...] = Field(REFUSALS, min_length=1, description="answers that a refusal is drawn from")
    renew: bool = Field(True, description="another refusal in every epoch; false keeps the first one drawn")

    def build_targets(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> Targets:
        text = next((r for r in forget if r.kind == "document"), None)
        if text is not None:
            what = "is a document, and nothing is asked that could be refused"
            raise InputError(f'record "{text.id}"', what, "use the recipe npo or simnpo, which forget plain text")

        def refuse(record: Record, epoch: int) -> Record:
            k = int(stream(seed, "refusal", record.stream_key, epoch).integers(len(self.refusals)))
            return replace(record, answer=self.refusals[k])

        return SubstituteAnswers(lm.template, forget, refuse, self.renew)

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        return out.nll_mean
