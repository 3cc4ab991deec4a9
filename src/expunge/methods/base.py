"""What a method is: a pure loss over model outputs, its settings, and what it needs from the engine.

Methods that rewrite weights without a loop stand on the same registry and are an `Edit` (`edit.py`). A method never
runs the model, never touches the optimizer, the device or the data. It declares `needs`, and the engine puts exactly
that into `Outputs`. All tensors hold answer positions only (end token included, the prompt never): `B` sequences, `A`
the longest answer of the batch, `V` vocabulary, `H` width. `mask` is false where a shorter answer is padded. Losses
are `[B]`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from expunge._registry import Registry

if TYPE_CHECKING:
    from expunge.methods.twin import Twin

METHODS: Registry[type[UnlearningMethod]] = Registry("method", "expunge.methods")

Rows = Literal["gold", "relabel", "twin"]
TokenWeights = Literal["none", "level", "gradient", "attention"]
RetainLoss = Literal["ce", "kl", "logit", "none"]
REFERENCE_LOSSES = ("kl", "logit")  # retain terms that need what the model said before the run


@dataclass(frozen=True)
class Requirements:
    """What the engine must provide beyond the answer-token log-probs of the current model.

    reference_logprobs  log p of every answer token before the run: reference.logprob [B, A]
    reference_logits    the distribution at answer positions before the run: reference.logits [B, A, V]
    logits              the current model's distribution: logits [B, A, V]
    rows                what stands in a forget batch: the gold answers; random wrong answers of the same type
                        ("relabel"); or gold and teacher's own answers ("twin": teacher, floor, is_gold)
    renewed             with "relabel": another wrong answer in every epoch
    token_weights       weights [B, A]: `level` = the `token_factor` of each token's concept level alone; `gradient`
                        and `attention` = that times the token's saliency, whose mean over a sequence is 1
    raw_weights         the saliency ratio as printed in the paper, without floor, limits and normalization
    levels              batches homogeneous in concept level: level "L1" … "L4"
    levels_by_parameter  every tensor has the level whose records lean on it most, rather than the batch's
    """

    reference_logprobs: bool = False
    reference_logits: bool = False
    logits: bool = False
    rows: Rows = "gold"
    renewed: bool = True
    token_weights: TokenWeights = "none"
    raw_weights: bool = False
    levels: bool = False
    levels_by_parameter: bool = False


@dataclass(frozen=True)
class ModelOutputs:
    """What a model says about a batch. `logprob`: log p of each answer token, float32, 0 outside `mask`."""

    logprob: Tensor  # [B, A]
    mask: Tensor  # [B, A] bool
    labels: Tensor | None = None  # [B, A] int64, 0 outside `mask`
    logits: Tensor | None = None  # [B, A, V] float32
    weights: Tensor | None = None  # [B, A] token weights; see `Needs.token_weights`
    reference: ModelOutputs | None = None
    teacher: Tensor | None = None  # [B, A, V] log-probs of the twin's answer distribution
    floor: Tensor | None = None  # [B] tau_f: least mean NLL that a gold answer should reach, in nats
    is_gold: Tensor | None = None  # [B] bool: the row holds the record's true answer
    level: str | None = None

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
        """-log p per answer token without token weights, [B], nats; the last token, which ends the answer, left out.

        As the audit counts it: an end token is nearly certain and would pull short answers down. One token alone
        counts.
        """
        inside = torch.zeros_like(self.mask)
        inside[:, :-1] = self.mask[:, :-1] & self.mask[:, 1:]
        inside = torch.where(inside.any(-1, keepdim=True), inside, self.mask)
        return -(self.logprob * inside).sum(-1) / inside.sum(-1).clamp(min=1)

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
    def gap(self) -> Tensor:
        """log p(y|x) - log p_ref(y|x), [B]; token weights apply to both."""
        if self.reference is None:
            raise ValueError("this loss needs Needs(reference_logprobs=True)")
        return self.weigh((self.logprob - self.reference.logprob) * self.mask).sum(-1)

    @property
    def log_softmax(self) -> Tensor:
        """Log-probs over the vocabulary, [B, A, V], float32."""
        if self.logits is None:
            raise ValueError("this loss needs Needs(logits=True)")
        return torch.log_softmax(self.logits.float(), -1)

    @property
    def centered_logits(self) -> Tensor:
        """Logits minus their mean over the vocabulary, which no probability depends on, [B, A, V], float32."""
        if self.logits is None:
            raise ValueError("this loss needs Needs(logits=True)")
        return self.logits.float() - self.logits.float().mean(-1, keepdim=True)


class UnlearningMethod(BaseModel, ABC):
    """What every entry of the registry is: a name, settings as fields, and `source`, where the formula stands.

    Either a `Method`, which the loop minimizes, or an `Edit`, which rewrites weights after one look at the records.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str] = ""
    source: ClassVar[str] = ""

    def __init_subclass__(cls, name: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name:
            cls.name = name
            METHODS.add(name, cls)


class Method(UnlearningMethod):
    """Base of all methods with a loss. Subclass with `class NPO(Method, name="npo")`; fields are its settings.

    needs        what most settings need; the engine asks `requires()`, which knows the settings
    retain       what this method does with the retain batch unless the recipe says otherwise
    rule         the gradient rule unless the recipe says otherwise
    """

    needs: ClassVar[Requirements] = Requirements()
    retain: ClassVar[RetainLoss] = "ce"
    rule: ClassVar[str] = "sum"

    def requires(self) -> Requirements:
        """What this method needs with these settings: the class's `needs` unless a setting changes it."""
        return self.needs

    @abstractmethod
    def forget_loss(self, out: ModelOutputs) -> Tensor:
        """The term to minimize on forget rows, one value per sequence, [B]."""

    @property
    def towards(self) -> Twin | None:
        """The `twin` objective whose rows, teacher and floors this method uses; None for all others."""
        return None

    def projection(self, level: str | None) -> float | None:
        """alpha of the `project` rule for a batch of this concept level; None keeps the recipe's."""
        return None

    def token_factor(self, level: str | None) -> float:
        """beta of token weights for a token of this concept level."""
        return 1.0


def retain_loss(kind: RetainLoss, out: ModelOutputs) -> Tensor:
    """The retain term, [B], over answer positions.

    ce     mean NLL
    kl     mean_t KL(p_ref || p), forward
    logit  mean_t mean_v (c - c_ref)^2, c = z - mean_v z: as kl, but it does not fade where the model is sure of its
           answer. What an answer is ahead by wears off unseen under kl, and records that a run never sees flip first.
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
