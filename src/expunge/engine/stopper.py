"""Ends a run where its forget records stand among their controls; see `stop_rule.py` for the rule.

Every `check_every` steps a fixed sample of forget and retain records and the controls are scored on the model as it
stands. Nothing is drawn on the way, and the state is part of the checkpoint, so a resumed run stops at the same step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from expunge.corpus import Record
from expunge.engine.forward import ForwardRunner
from expunge.engine.recipe_config import Stop
from expunge.engine.stop_controls import StopControls, choose_controls, has_surrogate, sample
from expunge.engine.stop_rule import PASSING, ControlRange, StopProbe, decay, standing
from expunge.models.documents import split_documents
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import Nats, answer_nll, mean_nll
from expunge.models.prompt_template import Encoded
from expunge.random import stream

PROBE_BATCH = 16  # rows in a pass


class Stopper:
    """The stop rule of one run, with its probe.

    Attributes:
        items: the rows of the probe: forget, retain, controls; the run keeps them beside its examples.
        end: number of steps after which the phase ends, as known so far; most runs are one phase.
        controls: where the controls stand, as of the last probe.
        probes: what was measured, oldest first.
    """

    def __init__(
        self,
        config: Stop,
        total_steps: int,
        forget: Sequence[Encoded],
        retain: Sequence[Encoded],
        controls: StopControls,
        of_controls: Sequence[Encoded],
        before: Nats,
    ) -> None:
        """before: NLL of all these rows on the model before the run, in this order, nats per token."""
        self.config, self.items = config, [*forget, *retain, *of_controls]
        self.end = self.bound = total_steps
        self.passed = 0  # checks in a row that have passed
        self._latest, self._tolerance = "", config.tolerance
        self.probes: list[StopProbe] = []
        self._cuts = [len(forget), len(forget) + len(retain)]
        self._controls = controls
        _, of_retain, of_control_rows = np.split(before, self._cuts)
        self.controls = controls.range(of_control_rows)
        self._retain_before = float(of_retain.mean()) if len(of_retain) else 0.0
        self._verdict = ""

    @classmethod
    def build(
        cls,
        lm: LanguageModel,
        config: Stop,
        total_steps: int,
        forget: Sequence[Record],
        retain: Sequence[Record],
        controls: Sequence[Record],
        seed: int,
    ) -> Stopper:
        """Choose the probe and measure the controls, on the model before the run.

        Args:
            lm: the model.
            config: the recipe's `stop`.
            total_steps: the bound.
            forget: forget records, as questions of the run; of those that a surrogate can be made for, where there are
                any, because only these have controls.
            retain: retain records.
            controls: records of never-trained subjects, for forget records that no surrogate can be made for.
            seed: seed of all draws.

        Raises:
            InputError: there are no controls, and none can be made.
        """
        probes = sample([r for r in forget if has_surrogate(r)] or forget, config.rows, stream(seed, "stop forget"))
        retain_probes = sample(retain, config.rows, stream(seed, "stop retain"))
        retain_probes = sample(split_documents(retain_probes, lm.template), config.rows, stream(seed, "stop windows"))
        chosen = choose_controls(lm, probes, retain, controls, seed, config.rows)
        parts = probes, retain_probes, [r for records in chosen.records for r in records]
        before = np.concatenate([mean_nll(lm, part) for part in parts])
        forget_rows, retain_rows, control_rows = (lm.template.encode_all(part) for part in parts)
        return cls(config, total_steps, forget_rows, retain_rows, chosen, control_rows, before)

    def start_phase(self, end: int, harm_counts: bool, resumed: bool) -> None:
        """Begin a phase that forgets and is planned to end after `end` steps of the run; several may follow each other.

        Args:
            end: steps of the run.
            harm_counts: whether the phase has a retain term. One that has none cannot mend what it harms, and going on
                would only harm more, so there a check passes whatever the retain records lose.
            resumed: a checkpoint was taken within this phase.
        """
        if not resumed:
            self.end, self.passed, self._verdict = end, 0, ""
        self.bound = end
        self._tolerance = self.config.tolerance if harm_counts else math.inf

    def is_due(self, step: int) -> bool:
        """Whether a probe follows the step that has just finished; `step` counts finished steps."""
        return self.end == self.bound and step < self.bound and step % self.config.check_every == 0

    def observe(self, step: int, nll: Nats, settled: bool = True) -> None:
        """Take note of a probe [rows of `items`], nats per token; `settled`: the method has nothing left to do."""
        forget, retain, of_controls = np.split(nll, self._cuts)
        self.controls = self._controls.range(of_controls)
        probe = StopProbe.of(step, forget, retain, self.controls.typical)
        earlier = self.probes[-1] if self.probes else None
        verdict = standing(probe, earlier, self.controls, self._retain_before, self._tolerance)
        self.probes.append(probe)
        self.passed = self.passed + 1 if verdict in PASSING and settled else 0
        self._latest = verdict
        if self.passed >= self.config.patience:
            self._verdict, self.end = verdict, min(self.bound, step + self.config.cooldown)

    def stands(self, step: int) -> bool:
        """Whether the check that was just observed at `step` passes; the phase then ends there."""
        if self.passed:
            self._verdict, self.end = self._latest, step
        return bool(self.passed)

    def lr_factor(self, step: int) -> float:
        """Factor on the learning rate at `step`, from 0."""
        return decay(step, self.end, self.config.cooldown)

    def summary(self, step: int, bound: int) -> dict[str, Any]:
        """Where and why the run ended, for run.json; `bound`: steps that it was planned to have."""
        where = {"inside": "inside", "above": "above"}.get(self._verdict)
        reason = f"{where} the controls' range in {self.config.patience} checks" if where else "the bound on steps"
        controls = self.controls.to_dict()
        del controls["typical"]
        return {
            "step": step,
            "bound": bound,
            "reason": reason,
            "controls": {"from": self._controls.source, **controls},
            "retain_before": self._retain_before,
            "last_probe": self.probes[-1].to_dict() if self.probes else None,
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        probes = [p.to_dict() for p in self.probes]
        controls = self.controls.to_dict()
        return {
            "end": self.end,
            "passed": self.passed,
            "verdict": self._verdict,
            "probes": probes,
            "controls": controls,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.end, self.passed, self._verdict = int(state["end"]), int(state["passed"]), str(state["verdict"])
        self.probes = [StopProbe(**p) for p in state["probes"]]
        self.controls = ControlRange(**state["controls"])


@torch.no_grad()
def score(runner: ForwardRunner, rows: Sequence[int]) -> Nats:
    """NLL of these rows of the runner [N], nats per token, on the model as it stands."""
    parts = [rows[k : k + PROBE_BATCH] for k in range(0, len(rows), PROBE_BATCH)]
    outputs = [runner.run(part, logits=False) for part in parts]
    return np.concatenate([answer_nll(o.logprob, o.batch.mask).double().cpu().numpy() for o in outputs])
