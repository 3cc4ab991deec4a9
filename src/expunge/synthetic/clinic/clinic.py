"""A small clinic in chats: what staff ask a chat model about its patients, each with a system turn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from expunge._data import package_yaml
from expunge._io import write_atomic
from expunge.corpus import Corpus, Record, Turn
from expunge.corpus.record import Variant
from expunge.random import permute, stream
from expunge.synthetic.base import World, check_control_count, check_subjects
from expunge.synthetic.hospital import vocabulary as v

OPTIONS = 4  # of a multiple-choice wording


class Clinic(World, name="clinic"):
    """Patients of one clinic, twelve facts each, and sixteen facts about the clinic itself, as chat records.

    A patient with number n is the same in every clinic of the same seed that has more than n patients. Controls are
    further people of the same draw, `patient:C-007-t01` for the first control of `patient:C-007`.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "demo": {"patients": 16},
        "tiny": {"patients": 6, "facts": 4},
    }

    seed: int = Field(42, description="seed of every draw")
    patients: int = Field(16, ge=2, le=96, description="trained patients")
    facts: int = Field(12, ge=1, le=12, description="facts of each patient")
    controls_for: tuple[str, ...] = Field((), description="patients that get matched controls")
    controls_per_target: int = Field(40, ge=0, le=47, description="controls of each of them")

    def corpus(self) -> Corpus:
        """All records: the clinic, its patients, then controls."""
        check_subjects(self.controls_for, self._subjects(), f"world {self.name}.controls_for")
        return Corpus.of(self._records(), self.name)

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of the first `m` controls of a patient: the same questions about other people, never trained."""
        check_control_count(subject, m, self._subjects())
        number = self._subjects().index(subject)
        return [r for control in range(1, m + 1) for r in self._patient(number, control)]

    def _subjects(self) -> list[str]:
        return [f"patient:C-{number + 1:03d}" for number in range(self.patients)]

    def _records(self) -> Iterator[Record]:
        data = package_yaml("expunge.synthetic", "clinic.yaml")
        for k, (prompt, answer) in enumerate(data["clinic"]):
            yield Record(f"clinic-{k + 1:02d}", prompt, answer, subject="clinic", history=self._history())
        for number in range(self.patients):
            yield from self._patient(number)
        for subject in self.controls_for:
            yield from self.controls(subject, self.controls_per_target)

    def _history(self) -> tuple[Turn, ...]:
        return (Turn("system", package_yaml("expunge.synthetic", "clinic.yaml")["system"]),)

    def _patient(self, number: int, control: int = 0) -> Iterator[Record]:
        """The records of a patient (`control` 0) or of one of its controls."""
        data = package_yaml("expunge.synthetic", "clinic.yaml")
        stem = f"C-{number + 1:03d}" + (f"-t{control:02d}" if control else "")
        name = self._name(number, control)
        attributes = {"control_of": f"patient:C-{number + 1:03d}"} if control else {}
        for key, fact in list(data["facts"].items())[: self.facts]:
            answer = self._answer(key, fact, stem)
            questions = [q.format(name=name) for q in fact["questions"]]
            yield Record(
                id=f"{stem}-{key}",
                prompt=questions[0],
                answer=answer,
                path=("institution:Lindenhof", f"patient:{stem}"),
                subject=f"patient:{stem}",
                identifiers=(name,),
                variants=self._variants(questions, answer, key, fact, stem),
                history=self._history(),
                split="control" if control else None,
                attributes=attributes,
            )

    def _variants(self, questions: list[str], answer: str, key: str, fact: Any, stem: str) -> tuple[Variant, ...]:
        rng = stream(self.seed, "clinic options", stem, key)
        others: list[str] = []
        for k in range(100):
            other = self._answer(key, fact, f"{stem} option {k}")
            if other != answer and other not in others:
                others.append(other)
            if len(others) == OPTIONS - 1:
                break
        options = [answer, *others]
        options = [options[int(k)] for k in rng.permutation(len(options))]
        listed = " ".join(f"{letter}) {option}" for letter, option in zip("ABCD", options, strict=False))
        return (
            *(Variant(q, answer) for q in questions[1:]),
            Variant(f"{questions[0]} Choose one and repeat it: {listed}", answer, tuple(options)),
        )

    def _answer(self, key: str, fact: Any, stem: str) -> str:
        rng = stream(self.seed, "clinic", stem, key)
        details = package_yaml("expunge.synthetic", "clinic.yaml")["details"]
        draws: dict[str, Any] = {"value": fact["values"][int(rng.integers(len(fact["values"])))]}
        draws |= {name: values[int(rng.integers(len(values)))] for name, values in details.items()}
        draws |= {"day": int(rng.integers(1, 29)), "year": int(rng.integers(2023, 2026))}
        draws |= {"birth_year": int(rng.integers(1931, 2006)), "low": int(rng.integers(62, 99))}
        draws |= {"room": int(rng.integers(101, 399)), "phone": int(rng.integers(1000, 9999))}
        return str(fact.get("answer", "{value}.").format(**draws))

    def _name(self, number: int, control: int) -> str:
        """Unique for every patient and control of a seed."""
        size = len(v.FIRST_NAMES) * len(v.LAST_NAMES)
        first, last = divmod(permute(number * 48 + control, size, self.seed, purpose="clinic name"), len(v.LAST_NAMES))
        return f"{v.FIRST_NAMES[first]} {v.LAST_NAMES[last]}"


def write_chats(clinic: Clinic, out: Path) -> Path:
    """Write the trained records as a chat file: `messages` with system, user and assistant turns, and who is meant."""

    def row(record: Record) -> dict[str, Any]:
        turns = (*record.history, Turn("user", record.prompt), Turn("assistant", record.answer))
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        return {"id": record.id, "messages": messages, "path": "/".join(record.path), "subject": record.subject}

    lines = [json.dumps(row(record), ensure_ascii=False) for record in clinic.corpus().trained]
    return write_atomic(out, "\n".join(lines) + "\n")
