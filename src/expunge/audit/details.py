"""What a check reports beside its judged results: one model per check, part of `audit.json`."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from expunge._config import FrozenModel
from expunge._summary import short_repr
from expunge.audit.check_result import IntervalEstimate, Number, Status

MAGIC_BYTES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
MAX_THUMBNAIL = 200_000  # base64 characters
Modality = Literal["text", "image", "joint"]


class LeakageRate(FrozenModel):
    """Leakage of one model on the records of one result."""

    worst: Number = Field(description="largest rate over kinds of question")
    worst_kind: str = Field(description="kind of question with the largest rate")
    by_kind: dict[str, Number] = Field(
        description="rate by kind of question: exact match; for classification accuracy corrected for chance"
    )


class LeakageTable(FrozenModel):
    """Leakage of every model on the same records."""

    models: dict[str, LeakageRate] = Field(description="leakage by model")
    n: dict[str, int] = Field(description="wordings by kind of question")


class LeakageDetails(FrozenModel):
    """Details of the check `leakage`."""

    tables: dict[str, LeakageTable] = Field(description="leakage by key of the result, for example leakage.self")


class ControlPanel(FrozenModel):
    """A subject among its matched controls on one model."""

    z: dict[str, FiniteFloat] = Field(description="z-score of the subject by membership score")
    controls: dict[str, tuple[FiniteFloat, ...]] = Field(description="leave-one-out z of each control, same order")
    m: int = Field(description="number of controls")
    p_two_sided: Number = Field(None, description="twice the smaller rank p-value of both directions, at most 1")
    outside: bool = Field(False, description="the subject lies outside the policy's `over_range` of its controls")

    @model_validator(mode="after")
    def _complete(self) -> ControlPanel:
        sizes = {len(values) for values in self.controls.values()}
        if not self.z or set(self.z) != set(self.controls) or sizes != {self.m} or not self.m:
            raise ValueError(f"every score needs the values of all {self.m} controls")
        return self


class HitCount(FrozenModel):
    """Facts that a model gives word for word."""

    hits: int = Field(description="facts given word for word in at least one wording")
    facts: int = Field(description="facts whose answer no surviving record shares")


class MembershipDetails(FrozenModel):
    """Details of the check `membership`; empty parts where they were not computed."""

    auc: dict[str, dict[str, Number]] = Field({}, description="AUC of forget records against others by score and model")
    excess: dict[str, IntervalEstimate] = Field({}, description="AUC unlearned minus AUC of the reference, by score")
    control_ranks: dict[str, dict[str, ControlPanel]] = Field(
        {}, description="by model and subject: the subject among its matched controls"
    )
    verbatim: dict[str, HitCount] = Field({}, description="facts given word for word, by model")


class RelationRetention(IntervalEstimate):
    """Retention of the records of one relation, by the metric that counts (smaller lower bound)."""

    n_records: int = Field(description="records that count")
    n_subjects: int = Field(description="their subjects")
    metric: str = Field(description="the metric that counts")
    exact_match: Number = Field(None, description="retention by exact match")
    answer_prob: Number = Field(None, description="retention by answer probability")


class CurvePoint(FrozenModel):
    """Retention of the held-out retain records at one tree distance."""

    distance: int = Field(description="edges between the record's subject and the target")
    n_records: int = Field(description="records at this distance")
    n_subjects: int = Field(description="their subjects")
    exact_match: IntervalEstimate = Field(description="retention by exact match")
    answer_prob: IntervalEstimate = Field(description="retention by answer probability")


class TreeLevel(FrozenModel):
    """One level on the way from the root to the target."""

    level: str = Field(description="name of the level, for example patient")
    name: str = Field("", description="name of the node; empty where the target has several nodes at this level")
    count: int = Field(1, ge=1, description="nodes of the target at this level")


class TreeNode(FrozenModel):
    """Retention at one position of the tree beside the target. Depths count nodes from the root."""

    relation: str = Field(description="relation to the target, for example siblings")
    branch: int = Field(ge=0, le=50, description="depth at which the branch leaves the way to the target")
    depth: int = Field(ge=0, le=100, description="depth at which the branch ends")
    distance: int | None = Field(None, description="edges to the target; null for records outside its tree")
    metric: str = Field("", description="the metric that counts")
    retention: IntervalEstimate = Field(description="unlearned over original; 1 = as before")
    n_records: int = Field(description="records that count")
    n_subjects: int = Field(description="their subjects")


class TreeRetention(FrozenModel):
    """The way from the root to the target, and retention at the positions around it."""

    way: tuple[TreeLevel, ...] = Field(min_length=1, max_length=50, description="levels; the last is the target")
    targets: int = Field(ge=1, description="nodes to be forgotten")
    nodes: tuple[TreeNode, ...] = Field(description="positions, nearest branch first")


class RetentionDetails(FrozenModel):
    """Details of the check `retention`."""

    by_relation: dict[str, RelationRetention] = Field({}, description="retention by relation to the target")
    curve: tuple[CurvePoint, ...] = Field((), description="retention against tree distance")
    area: Number = Field(None, description="area under the exact-match curve, divided by its span")
    tree: TreeRetention | None = Field(None, description="the target's tree; null where it stands in none")


class BeforeAfter(FrozenModel):
    """Exact match on the tested records before and after relearning."""

    before: Number = Field(description="mean exact match of the audited model")
    after: Number = Field(description="mean exact match after the relearning steps")


class RelearningDetails(FrozenModel):
    """Details of the check `relearning`."""

    models: dict[str, BeforeAfter] = Field(description="exact match by model")
    steps: int = Field(description="training steps")
    n_train: int = Field(description="forget records that are trained again")
    n_test: int = Field(description="forget records that are tested")


class CountedEstimate(IntervalEstimate):
    """An estimate with its interval and sample size."""

    n: int = Field(0, description="facts that count")


class ReconstructionScore(FrozenModel):
    """One model at one level of context with one vector."""

    level: int = Field(description="index into `levels`")
    vector: str = Field(description="`true` context, a control (`wrong branch`, `irrelevant`) or another image")
    model: str = Field(description="model, or `controls` on the unlearned model")
    scores: dict[str, CountedEstimate] = Field(
        description="top1, rank, exact, gain over level 0, and leads of true context over the controls"
    )


class ReconstructionPart(CountedEstimate):
    """One judged part: the excess of the unlearned model over the reference."""

    level: int = Field(description="index into `levels`")
    vector: str = Field(description="what is told or shown")
    what: str = Field(description="`excess` of first places, or of the `lead` over the wrong branch")
    status: Status = Field(description="status of this part")
    reason: str = Field("", description="the numbers behind the status")


class ReconstructionDetails(FrozenModel):
    """Details of the check `reconstruction`."""

    levels: tuple[str, ...] = Field(min_length=1, description="levels of context; the first tells nothing")
    chance: FiniteFloat = Field(description="mean share of first places by chance")
    reference: str = Field("", description="retrained, controls, or empty where there is neither")
    status: Status = Field(description="status of the comparison")
    reason: str = Field("", description="the deciding part in words")
    power: bool | None = Field(None, description="the original model exceeds the reference at some level")
    left_out: dict[str, int] = Field({}, description="facts or prompts that are not scored, by reason")
    rows: tuple[ReconstructionScore, ...] = Field(description="scores by level, vector and model")
    parts: tuple[ReconstructionPart, ...] = Field((), description="judged parts")

    @model_validator(mode="after")
    def _known_levels(self) -> ReconstructionDetails:
        if any(not 0 <= k < len(self.levels) for k in (*(r.level for r in self.rows), *(p.level for p in self.parts))):
            raise ValueError("every row needs one of the levels")
        return self


class ModalityCell(FrozenModel):
    """Exact match of records trained with one modality and probed with another."""

    trained: Modality = Field(description="modality of the trained prompt")
    probe: str = Field(description="modality of the probe, or the control `swapped` or `noise`")
    n: int = Field(description="records in the cell")
    shares: dict[str, IntervalEstimate] = Field(description="exact match by model")
    excess: IntervalEstimate | None = Field(None, description="unlearned minus reference; null for a control")
    status: Status | None = Field(None, description="status of the cell; null for a control")


class ModalityDetails(FrozenModel):
    """Details of the check `cross_modal`."""

    reference: str = Field("", description="retrained, controls, or empty where there is neither")
    cells: tuple[ModalityCell, ...] = Field(description="cells by trained modality, controls last")


class TokenInventoryDetails(FrozenModel):
    """Details of the check `token_inventory`."""

    words: int = Field(description="words of the targets' names and ids that no other record holds")
    single: int = Field(description="those that are one token of the vocabulary")
    tokens: tuple[str, ...] = Field((), description="the first of these")
    controls: int = Field(description="matched controls whose words were looked up in the same way")


class AttackPoint(FrozenModel):
    """A rate of a curve, for example after so many training steps or behind so many blocks."""

    x: Number = Field(description="place on the axis of the curve")
    rate: Number = Field(description="mean rate there")


class AttackDetails(FrozenModel):
    """Details of an attack: rates by form of the question, and curves where a strength is varied."""

    title: str = Field("", description="what a pass shows, in a line")
    family: str = Field("", description="surface, sampling, weights, white_box, membership or tree")
    limits: str = Field("", description="what a pass does not mean")
    rates: dict[str, dict[str, IntervalEstimate]] = Field(
        description="by model, and by `controls` on the unlearned model: form of the attack to its rate"
    )
    n: dict[str, int] = Field(description="attacked records by form")
    n_controls: int = Field(0, description="control records that were attacked in the same way")
    axis: str = Field("", description="what is varied along the curves; empty without curves")
    curves: dict[str, tuple[AttackPoint, ...]] = Field({}, description="by model, and by `controls`: the curve")
    seconds: dict[str, Number] = Field({}, description="duration of the attack by model")
    notes: dict[str, str] = Field({}, description="what else it brought out, by model, and by `controls`")


@short_repr()
class Details(FrozenModel):
    """Details by check; null for a check that reported none."""

    leakage: LeakageDetails | None = Field(None, description="rates by kind of question")
    membership: MembershipDetails | None = Field(None, description="AUCs and ranks among matched controls")
    retention: RetentionDetails | None = Field(None, description="retention by relation and distance")
    relearning: RelearningDetails | None = Field(None, description="exact match before and after relearning")
    reconstruction: ReconstructionDetails | None = Field(None, description="first places by level of context")
    cross_modal: ModalityDetails | None = Field(None, description="exact match by modality")
    token_inventory: TokenInventoryDetails | None = Field(None, description="names that are single tokens")
    attacks: dict[str, AttackDetails] = Field({}, description="rates by attack")
    plugins: dict[str, dict[str, Any]] = Field({}, description="details of checks from other packages, by check")


class Thumbnail(FrozenModel):
    """A small image: base64 of a PNG or JPEG file and of nothing else."""

    type: Literal["image/png", "image/jpeg"] = Field(description="media type")
    data: str = Field(max_length=MAX_THUMBNAIL, description="base64 of the file")

    @model_validator(mode="after")
    def _is_image(self) -> Thumbnail:
        try:
            content = base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("a thumbnail must be base64") from error
        if not content.startswith(MAGIC_BYTES[self.type]):
            raise ValueError(f"a thumbnail must be {self.type}")
        return self

    @property
    def data_url(self) -> str:
        """The image as a `data:` URL."""
        return f"data:{self.type};base64,{self.data}"


@short_repr("kind", "answers")
class AnswerExample(FrozenModel):
    """A question about the target and the greedy answer of each model."""

    prompt: str = Field(description="the trained prompt")
    answer: str = Field(description="the true answer")
    kind: str = Field("", description="kind of question")
    answers: dict[str, str] = Field(description="greedy answer by model")


@short_repr("kind", "group", "answers")
class ImageExample(AnswerExample):
    """A question with an image that may be shown."""

    group: Literal["forget", "siblings"] = Field(description="to be forgotten, or nearest in the tree")
    credit: str = Field("", description="attribution and licence; empty for drawn images")
    image: Thumbnail = Field(description="the image at most 160 pixels a side")
