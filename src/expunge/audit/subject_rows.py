"""What an audit says of each subject: rows of `audit.json`."""

from __future__ import annotations

from pydantic import Field

from expunge._config import FrozenModel
from expunge._summary import short_repr
from expunge.audit.check_result import Number, Status

KEY = "each_subject"  # of the result that says whether one of several subjects was left in


class SubjectRow(FrozenModel):
    """One result of one subject: what the same check says of a request for this subject alone."""

    key: str = Field(description="key of the result")
    required: bool = Field(False, description="the policy requires this result of the request")
    status: Status = Field(description="status by the same rule")
    n: int = Field(0, description="records or wordings of the subject that count")
    rate: Number = Field(None, description="the worst form's rate; for `mia` the largest z-score")
    reference: Number = Field(None, description="that of the reference: the retrained model, or the mean of controls")
    limit: Number = Field(None, description="95th percentile of its matched controls; null against a retrained model")
    reason: str = Field("", description="the numbers behind the status")


class WorstAttack(FrozenModel):
    """The attack by which most of a subject comes out, against the same maximum over attacks of each of its controls.

    More attacks raise the largest excess of everybody, so its null is the largest excess of people whom no model met.
    """

    attack: str = Field(description="the attack with the largest excess")
    attacks: int = Field(description="attacks that were compared")
    excess: Number = Field(None, description="its excess over the mean of the controls, or over the retrained model")
    limit: Number = Field(None, description="95th percentile of the controls' largest excess, at least the margin")
    n_controls: int = Field(0, description="controls that were attacked in the same ways; 0 with a retrained model")
    p: Number = Field(None, description="rank p-value among controls, never below 1/(controls + 1)")
    p_holm: Number = Field(None, description="the same after Holm's correction for the number of subjects")
    power: bool | None = Field(None, description="the original model stands above all of them")
    status: Status = Field(description="passed up to the limit")
    reason: str = Field("", description="why it is inconclusive")


@short_repr("subject", "status", "worst")
class SubjectVerdict(FrozenModel):
    """The verdict of one subject by those of the required results that are judged by subject.

    A single subject's verdict is that of the request. Of several, retention, relearning and reconstruction are judged
    for the request alone.
    """

    subject: str = Field(description="the subject")
    status: Status = Field(description="failed if a required row failed; inconclusive if one is; else passed")
    n_records: int = Field(description="its records that must be forgotten")
    hits: int = Field(0, description="of these, true answers that the unlearned model gives in the trained wording")
    reference_hits: int = Field(0, description="true answers of the reference to the same questions")
    reference_n: int = Field(0, description="questions that the reference was asked")
    p: Number = Field(
        None, description="chance of so many hits beyond the reference: sign test by record, or Fisher's exact test"
    )
    p_holm: Number = Field(None, description="the same after Holm's correction for the number of subjects")
    can_stand_out: bool = Field(
        True, description="the original model's answers about this subject would stand out by the same test"
    )
    rows: tuple[SubjectRow, ...] = Field((), description="results by key")
    worst: WorstAttack | None = Field(None, description="the worst attack; null where no attack asks about the subject")
