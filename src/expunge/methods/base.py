"""What a method is: a pure loss over model outputs, its settings, its targets, and what it needs from the engine.

Methods that rewrite weights without a loop stand on the same registry and are a `WeightEdit` (`editing.py`). A method
never touches the optimizer or the batches. It runs the model only in `build_targets`, once, before the run. It declares
`needs`, and the engine puts exactly that into `ModelOutputs`. All tensors hold answer positions only (end token
included, the prompt never): `B` sequences, `A` the longest answer of the batch, `V` vocabulary. `mask` is false where a
shorter answer is padded. Losses are `[B]`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from expunge._config import FrozenModel
from expunge._registry import Registry
from expunge.corpus import Record
from expunge.methods.examples import TargetCost, Targets, gold_targets
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import answer_nll

METHODS: Registry[type[UnlearningMethod]] = Registry("method", "expunge.methods")

TokenWeights = Literal["none", "level", "gradient", "attention"]
SaliencyPoint = Literal["embedding", "first_block"]
SaliencyUnit = Literal["id", "occurrence"]
Sense = Literal["highest", "context"]
RetainLoss = Literal["ce", "kl", "logit", "none"]
REFERENCE_LOSSES = ("kl", "logit")  # retain terms that need what the model said before the run


@dataclass(frozen=True)
class Requirements:
    """What the engine must provide beyond the answer-token log-probs of the current model.

    reference_logprobs: log p of every answer token before the run: `reference.logprob` [B, A].
    reference_logits: The distribution at answer positions before the run: `reference.logits` [B, A, V].
    logits: The current model's distribution: `logits` [B, A, V].
    targets: The method builds the rows of its forget batches itself (`Method.build_targets`); names of the tensors
        that it attaches to them. None: rows hold the records' true answers.
    alternates: Each row's other answer, out of `Targets.alternates`, runs beside it: `alternate`.
    chunk: Rows are forgotten in chunks of this many, one chunk after another, each in its share of the steps; None for
        all rows at once.
    token_weights: `weights` [B, A]. `level`: the `token_factor` of each token's concept level alone; `gradient` and
        `attention`: that times the token's saliency, whose mean over a sequence is 1.
    raw_weights: The saliency ratio as printed in the paper, without floor, limits and normalization.
    saliency_point: Where gradients of tokens are taken: at the output of the embedding, or at the input of the first
        block that trains, which frozen blocks below it do not slow down.
    saliency_unit: Whose gradient stands above the ratio: that of all occurrences of a vocabulary id so far, or that of
        this very occurrence in this step. Below it always stands the id's on the retain side.
    sense: Which level a token has whose name has several: the highest, or the one that its context suggests.
    levels: Batches of one concept level: `level` "L1" … "L4".
    levels_by_parameter: Every tensor has the level whose records it matters most to, rather than the batch's.
    """

    reference_logprobs: bool = False
    reference_logits: bool = False
    logits: bool = False
    targets: tuple[str, ...] | None = None
    alternates: bool = False
    chunk: int | None = None
    token_weights: TokenWeights = "none"
    raw_weights: bool = False
    saliency_point: SaliencyPoint = "first_block"
    saliency_unit: SaliencyUnit = "id"
    sense: Sense = "highest"
    levels: bool = False
    levels_by_parameter: bool = False


@dataclass(frozen=True)
class ModelOutputs:
    """Outputs of a model on a batch.

    logprob: log p of each answer token, float32, 0 outside `mask`.
    labels: Answer token ids, 0 outside `mask`.
    weights: Token weights; see `Requirements.token_weights`.
    reference: The same of the model before the run.
    targets: What the method's targets attach to the rows; see `Requirements.targets`.
    alternate: The same questions with their other answers; see `Requirements.alternates`. Its A is its own.
    level: Concept level of the batch.
    """

    logprob: Tensor  # [B, A]
    mask: Tensor  # [B, A] bool
    labels: Tensor | None = None  # [B, A] int64
    logits: Tensor | None = None  # [B, A, V] float32
    weights: Tensor | None = None  # [B, A]
    reference: ModelOutputs | None = None
    targets: Mapping[str, Tensor] = field(default_factory=dict)  # name → [B, ...]
    alternate: ModelOutputs | None = None
    level: str | None = None

    def target(self, name: str) -> Tensor:
        """The tensor of this name that the method's targets attach to the rows."""
        if name not in self.targets:
            raise ValueError(f"this loss needs the target {name}, which Method.build_targets attaches to each row")
        return self.targets[name]

    @property
    def length(self) -> Tensor:
        """Counted tokens, [B], at least 1."""
        return self.mask.sum(-1).clamp(min=1)

    @property
    def token_nll(self) -> Tensor:
        """-log p(y_t) times the token weight, [B, A], 0 outside the mask."""
        return self.weigh(-self.logprob * self.mask)

    @property
    def nll_sum(self) -> Tensor:
        return self.token_nll.sum(-1)

    @property
    def nll_mean(self) -> Tensor:
        return self.nll_sum / self.length

    @property
    def answer_nll(self) -> Tensor:
        """Mean NLL of the answer, [B], nats, without token weights and end token; see `likelihoods.answer_nll`."""
        return answer_nll(self.logprob, self.mask)

    @property
    def sequence_logprob(self) -> Tensor:
        """log p(y | x), summed over answer tokens, [B]."""
        return -self.nll_sum

    def weigh(self, values: Tensor) -> Tensor:
        """`values` [B, A] times the token weights, if there are any."""
        return values if self.weights is None else values * self.weights

    def mean_t(self, values: Tensor) -> Tensor:
        """Mean of `values` [B, A] over the counted tokens of each sequence, [B]."""
        return (values * self.mask).sum(-1) / self.length

    @property
    def logratio(self) -> Tensor:
        """log p(y|x) - log p_ref(y|x), [B]; token weights apply to both."""
        if self.reference is None:
            raise ValueError("this loss needs Requirements(reference_logprobs=True)")
        return self.weigh((self.logprob - self.reference.logprob) * self.mask).sum(-1)

    @property
    def log_softmax(self) -> Tensor:
        """Log-probs over the vocabulary, [B, A, V], float32."""
        if self.logits is None:
            raise ValueError("this loss needs Requirements(logits=True)")
        return torch.log_softmax(self.logits.float(), -1)

    @property
    def centered_logits(self) -> Tensor:
        """Logits minus their mean over the vocabulary, which no probability depends on, [B, A, V], float32."""
        if self.logits is None:
            raise ValueError("this loss needs Requirements(logits=True)")
        return self.logits.float() - self.logits.float().mean(-1, keepdim=True)


class UnlearningMethod(FrozenModel, ABC):
    """What every entry of the registry is: a name, settings as fields, and `source`, where the formula stands.

    Either a `Method`, whose loss the loop minimizes, or a `WeightEdit`, which rewrites weights at once.
    """

    name: ClassVar[str] = ""
    source: ClassVar[str] = ""

    @property
    def says(self) -> str:
        """What the model says in the place of a forgotten answer: `refuse`, `stranger`, "" if nobody decides it."""
        return ""

    def fallback(self, forget: Sequence[Record]) -> tuple[str, list[Record]]:
        """The objective that forgets the records which this method's own cannot, and these records; mostly none."""
        return "", []

    def __init_subclass__(cls, name: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name:
            cls.name = name
            METHODS.add(name, cls)


class Method(UnlearningMethod):
    """Base of all methods with a loss. Subclass with `class NPO(Method, name="npo")`; fields are its settings.

    needs: What most settings need; the engine calls `requirements()`, which knows the settings.
    retain: The retain term unless the recipe says otherwise.
    rule: The gradient rule unless the recipe says otherwise.
    """

    needs: ClassVar[Requirements] = Requirements()
    retain: ClassVar[RetainLoss] = "ce"
    rule: ClassVar[str] = "sum"

    def requirements(self) -> Requirements:
        """What this method needs with these settings: the class's `needs` unless a setting changes it."""
        return self.needs

    @abstractmethod
    def forget_loss(self, out: ModelOutputs) -> Tensor:
        """The term to minimize on forget rows, one value per sequence, [B]."""

    def build_targets(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> Targets:
        """The forget rows of a run, built once before its first step; here the records with their true answers.

        Args:
            lm: The model before the run, which an override may ask.
            forget: Records to forget.
            retain: Records that stay, which an override may take material from.
            seed: Seed of the run.

        A method that overrides this sets `Requirements.targets`.
        """
        return gold_targets(lm.template, forget)

    def target_cost(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> TargetCost:
        """What `build_targets` costs, without running the model; override both where it runs the model."""
        return TargetCost(self.build_targets(lm, forget, retain, seed))

    def projection(self, level: str | None) -> float | None:
        """alpha of the `project` rule for a batch of this concept level; None keeps the recipe's."""
        return None

    def token_factor(self, level: str | None) -> float:
        """beta of token weights for a token of this concept level."""
        return 1.0


def retain_loss(kind: RetainLoss, out: ModelOutputs) -> Tensor:
    """The retain term, [B], over answer positions.

    ce: mean NLL.
    kl: mean_t KL(p_ref || p), forward.
    logit: mean_t mean_v (c - c_ref)^2, c = z - mean_v z. Unlike kl it does not fade where the model is sure of its
        answer, so an answer cannot lose its lead unnoticed.
    """
    if kind == "ce":
        return out.nll_mean
    if kind in REFERENCE_LOSSES:
        if out.reference is None:
            raise ValueError(f"the {kind} retain term needs the reference's logits")
        if kind == "kl":
            return out.mean_t(forward_kl(out.reference.log_softmax, out.log_softmax))
        return out.mean_t((out.centered_logits - out.reference.centered_logits).square().mean(-1))
    return out.nll_mean * 0


def forward_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) over the last dimension: sum p (log p - log q)."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)
