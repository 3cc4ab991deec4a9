"""The predicate of a certificate: what a signed statement about an unlearned model says. Version 1.

The JSON schema is generated from these models and stands in docs/reference. A change of a field is a new version with a
new URI.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, FiniteFloat

from expunge._config import FrozenModel
from expunge.audit.check_result import Bounds, CheckResult, Number
from expunge.audit.policy import Policy
from expunge.audit.schema import KnownShare
from expunge.audit.verdict import Verdict
from expunge.evidence.moments import DayOrMoment, Moment
from expunge.evidence.statement import HEX64

PREDICATE_TYPE = "https://expunge.example/predicates/unlearning-certificate/v1"
DISCLAIMER: Literal["This is technical evidence, not legal advice."] = "This is technical evidence, not legal advice."
OPAQUE_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,79}$"
HEX64_OR_EMPTY = r"^([0-9a-f]{64})?$"
Level = Literal["L0", "L1", "L2", "L3"]


class RequestReference(FrozenModel):
    """The request, without whom it is about."""

    id: str = Field(pattern=OPAQUE_ID, description="opaque reference; no name, no number of a patient")
    regime: str = Field("", max_length=80, description="law or rule it was opened under")
    policy_version: str = Field("", max_length=80, description="version of the deadline policy")
    ground: str = Field("", max_length=200, description="ground of the decision")
    received: DayOrMoment = Field("", description="when it came in")
    decided: DayOrMoment = Field("", description="when it was decided")


class ServingConfiguration(FrozenModel):
    """How the model is served; another configuration ends the validity."""

    engine: str = Field(max_length=80, description="name and version of the engine")
    settings: dict[str, str] = Field({}, description="settings that change outputs, each as text")


class ModelArtifacts(FrozenModel):
    """The models by their digests, before and after."""

    before: str = Field(pattern=HEX64, description="model digest that the run started from")
    after: str = Field(pattern=HEX64, description="model digest that was audited, of the model in this certificate")
    manifest_root: str = Field(pattern=HEX64, description="SHA-256 over the subjects as sorted [path, SHA-256] pairs")
    form: Literal["adapter", "model"] = Field(description="adapter: the base model lies beside it and is part of it")
    tokenizer: str = Field("", pattern=HEX64_OR_EMPTY, description="digest of the tokenizer of the run")
    dtype: str = Field(description="precision of the weights as stored or loaded")
    quantization: str = Field("none", max_length=80, description="quantization of the files")
    serving: ServingConfiguration | None = Field(None, description="serving engine and settings; null: not fixed")


class PlanCommitment(FrozenModel):
    """What was fixed before the run. Its digest is logged before the run begins."""

    request: str = Field(pattern=OPAQUE_ID, description="opaque reference of the request")
    recipe: str = Field(pattern=HEX64, description="digest of the recipe")
    policy: str = Field(pattern=HEX64, description="digest of the audit policy: rules and margins")
    model: str = Field(pattern=HEX64, description="digest of the model before the run")
    training: str = Field(pattern=HEX64, description="digest of the record sets that decide a run")
    details: str = Field("", pattern=HEX64_OR_EMPTY, description="digest of a larger plan, where there is one")


class SetCommitment(FrozenModel):
    """A commitment to one record set."""

    root: str = Field(pattern=HEX64, description="RFC 6962 root over the HMAC-SHA-256 values of the records, sorted")
    count: int = Field(ge=0, description="records in the set")


class DataBlock(FrozenModel):
    """The records, by digests and counts."""

    split: str = Field(pattern=HEX64, description="digest of the split that was audited")
    training: str = Field(pattern=HEX64, description="digest of the sets that decide a run")
    selection: str = Field(
        "", pattern=HEX64_OR_EMPTY, description="HMAC-SHA-256 of the scope under the key of the request; empty without"
    )
    forget: int = Field(ge=0, description="records to forget")
    retain: int = Field(ge=0, description="records given to the method as what stays")
    retain_heldout: int = Field(ge=0, description="records that retention was measured on")
    holdout: int = Field(ge=0, description="records that no model was trained on")
    controls: int = Field(ge=0, description="records of matched controls")
    commitments: dict[Literal["forget", "retain", "holdout"], SetCommitment] = Field(
        {}, description="commitments to the sets under a key of this request; empty: none was made"
    )
    key_fate: Literal["none", "held", "escrowed", "shredded"] = Field(
        "none", description="what becomes of the key of the commitments after the objection window"
    )


class MethodBlock(FrozenModel):
    """How the model was changed."""

    name: str = Field(description="name of the method; retrain: trained again without the records")
    family: str = Field("", max_length=200, description="family of methods")
    paper: str = Field("", max_length=400, description="publication")
    recipe: str = Field(pattern=HEX64_OR_EMPTY, description="digest of the recipe")
    settings: dict[str, Any] = Field({}, description="the whole recipe")
    seed: str = Field("", description="seed of the run, as text")
    steps: int | None = Field(None, ge=0, description="steps of the run")
    trainable_share: FiniteFloat | None = Field(None, description="share of the weights that could change")
    threads: int | None = Field(None, description="threads, which decide the bits of the result")
    run_seal: str = Field("", pattern=HEX64_OR_EMPTY, description="seal of run.json")
    commit: str = Field("", max_length=80, description="commit of the program")
    container: str = Field("", max_length=160, description="digest of the container image")
    lock_file: str = Field("", pattern=HEX64_OR_EMPTY, description="digest of the file of pinned versions")
    hardware: str = Field("", max_length=200, description="processor or accelerator")
    environment: dict[str, Any] = Field({}, description="versions, as environment.json of the run holds them")


class AuditBlock(FrozenModel):
    """The audit: policy, every result, verdict."""

    file: str = Field(pattern=HEX64, description="SHA-256 of the full audit.json")
    created: str = Field("", description="when the audit was made")
    policy: Policy = Field(description="the policy that judged, complete")
    policy_digest: str = Field(pattern=HEX64, description="digest of the policy")
    reference: str = Field(description="retrained, controls or both: what the unlearned model was compared with")
    comparison: Literal["controls", "retrained", "exact"] = Field(
        description="how far the comparison reaches; exact: the model itself was trained without the records"
    )
    original: str = Field(pattern=HEX64, description="digest of the original model of the audit")
    retrained: str = Field("", pattern=HEX64_OR_EMPTY, description="digest of the retrained model; empty without one")
    results: tuple[CheckResult, ...] = Field(description="every result, without names")
    threat_models: dict[str, str] = Field(description="what the attacker of a result has, by its key")
    verdict: Verdict = Field(description="the verdict by the policy")
    known: dict[str, KnownShare] = Field({}, description="what the original knew of the records before the run")
    control_records: dict[str, int] = Field({}, description="control records: scored of all there are")
    attempts: int | None = Field(None, ge=1, description="audits of this request up to this one; null: not counted")
    score_files: dict[str, str] = Field({}, description="SHA-256 of the files of scores by their names")
    not_tested: tuple[str, ...] = Field((), description="attacks that the audit does not make")


class Delta(FrozenModel):
    """What the unlearned model still knows of one record set, relative to the original."""

    key: str = Field(description="key of the result")
    retention: Number = Field(None, description="estimate; null where it does not exist")
    ci: Bounds = Field(None, description="its interval; null where there is none")
    n_records: int = Field(ge=0, description="records that count")
    n_subjects: int = Field(ge=0, description="their subjects")


class PrivacyBlock(FrozenModel):
    """The privacy accounting of the run."""

    epsilon: FiniteFloat | None = Field(description="epsilon by the first accountant; null: none may be stated")
    delta: FiniteFloat = Field(description="delta")
    unit: str = Field(description="protected unit: subject or record")
    relation: str = Field(description="which data sets are neighbors")
    sampler: str = Field(description="how records are drawn")
    accountants: dict[str, str] = Field({}, description="version by accountant")
    guarantee: bool = Field(description="false for noise by a formula without a guarantee, or a failed self-test")
    history: Literal["this_run", "all_training"] = Field(
        description="this_run: noise of this run alone, which does not bound what was memorized before it"
    )


class LevelBlock(FrozenModel):
    """The level and why."""

    level: Level = Field(
        description="L0 suppression; L1 approximate with a passed audit; L2 (epsilon, delta)-bounded; "
        "L3 exact for the named stage"
    )
    why: str = Field(description="what the level rests on")
    stage: str = Field("", max_length=200, description="of L3: the stage of training")


class CoverageRow(FrozenModel):
    """One class of attack of EDPB Opinion 28/2024, paragraph 55; the mapping is ours."""

    attack_class: str = Field(description="class of attack")
    results: tuple[str, ...] = Field(description="keys of our results for it")
    status: Literal["executed", "in_scope", "out_of_scope"] = Field(
        description="executed; in scope, and not executed; or out of scope"
    )
    reason: str = Field("", description="why it was not executed")


class ValidityBlock(FrozenModel):
    """When the certificate was made, and what ends it."""

    made: Moment = Field(description="when it was made, UTC")
    expires: Moment = Field(description="when it ends, UTC")
    triggers: tuple[str, ...] = Field(min_length=1, description="what ends it earlier")


class CertificatePredicate(FrozenModel):
    """What a certificate says."""

    schema_version: Literal[1] = Field(1, description="version of this schema")
    request: RequestReference = Field(description="the request")
    artifacts: ModelArtifacts = Field(description="the models")
    plan: PlanCommitment | None = Field(None, description="what was fixed before the run; null for a training folder")
    data: DataBlock = Field(description="the records")
    method: MethodBlock = Field(description="how the model was changed")
    audit: AuditBlock = Field(description="the audit")
    utility: tuple[Delta, ...] = Field((), description="what stays known of records far from the subject")
    neighbors: tuple[Delta, ...] = Field((), description="what stays known of records near the subject")
    dp: PrivacyBlock | None = Field(None, description="privacy accounting; null for none")
    level: LevelBlock = Field(description="the level")
    coverage: tuple[CoverageRow, ...] = Field(description="which classes of attack were tried")
    limits: tuple[str, ...] = Field(min_length=1, description="what the evidence does not show")
    single_person: bool = Field(False, description="one person planned, ran and approved")
    validity: ValidityBlock = Field(description="when and how long")
    prior: str = Field("", pattern=HEX64_OR_EMPTY, description="digest of the certificate of the model before")
    software: str = Field(description="name and version of the program that made it")
    notice: Literal["This is technical evidence, not legal advice."] = Field(DISCLAIMER, description="fixed text")
