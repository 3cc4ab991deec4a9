"""Everything that a person needs who adds a method, gradient rule, metric, check, loader or world.

A file beside the shipped ones is found by its registry. A package of your own names the entry-point group of that
registry, for example `[project.entry-points."expunge.methods"]`, and one entry per name.
"""

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attack_rates import answer_rates
from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import Check, CheckOutput, CheckProfile, Context, RecordProbe, check
from expunge.audit.metrics.base import Metric, metric, per_record
from expunge.audit.scores import Scores
from expunge.audit.statistics import Interval, bootstrap_mean, paired_difference
from expunge.audit.verdict import judge_excess, judge_retention
from expunge.corpus import Record
from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.errors import InputError
from expunge.gradients.base import GradientRule, Gradients
from expunge.methods.base import Method, ModelOutputs, Requirements
from expunge.methods.editing import NeuronRow, NeuronSelector, WeightEdit
from expunge.methods.examples import Example, SubstituteAnswers, TargetCost, Targets
from expunge.models.language_model import LanguageModel
from expunge.synthetic.base import World

__all__ = [
    "LOADERS",
    "AttackCase",
    "AttackOutcome",
    "Check",
    "CheckOutput",
    "CheckProfile",
    "CheckResult",
    "Context",
    "Control",
    "Example",
    "GradientRule",
    "Gradients",
    "InputError",
    "Interval",
    "JudgedRule",
    "LanguageModel",
    "Loader",
    "Method",
    "Metric",
    "ModelOutputs",
    "NeuronRow",
    "NeuronSelector",
    "Record",
    "RecordProbe",
    "ReferenceValue",
    "Requirements",
    "Scores",
    "SourceRow",
    "SubstituteAnswers",
    "TargetCost",
    "Targets",
    "WeightEdit",
    "World",
    "answer_rates",
    "attack",
    "bootstrap_mean",
    "check",
    "judge_excess",
    "judge_retention",
    "metric",
    "paired_difference",
    "per_record",
]
