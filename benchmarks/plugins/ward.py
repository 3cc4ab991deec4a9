"""A ward: patients of a synthetic world, letters as whole texts, and the order in which they ask to be forgotten.

Some patients and letters are trained and given to no run: the basis of retention. Further letters are never trained:
their tokens are what a model says of a letter that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from expunge.bench.world_instance import OWN_SETS, RecordSets, WorldInstance
from expunge.corpus import Corpus, Record
from expunge.errors import InputError
from expunge.random import stream
from expunge.scope import Scope
from expunge.scope.split import Split
from expunge.synthetic.base import World
from expunge.synthetic.clinic.clinic import Clinic
from expunge.synthetic.hospital import vocabulary as v
from expunge.synthetic.hospital.hospital import Hospital

NAME = "ward"
SENTENCES = (
    "Letter of {day} {month} about {name}, admitted with {disease}.",
    "On {day} {month} {name} received {drug}, {dose} mg at {hour} o'clock.",
    "The {procedure} lasted {dose} minutes and was led by {doctor}.",
    "At discharge the pressure was {dose} over {day} and the pulse {pulse}.",
    "{doctor} asks to see {name} again in {day} days because of {disease}.",
    "{name} lives with {other} and can be called under {pulse} {dose}.",
)


class Ward(World, name=NAME):
    """Patients of a hospital or a clinic, and letters about further people; the first of each ask to be forgotten."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small": {}}

    seed: int = Field(42, ge=0, description="seed of every draw")
    people: Literal["hospital", "clinic"] = Field("hospital", description="world of the patients")
    patients: int = Field(20, ge=4, le=48, description="trained patients")
    facts: int = Field(3, ge=1, le=10, description="facts of a patient")
    letters: int = Field(12, ge=1, le=400, description="trained letters, each about somebody of its own")
    sentences: int = Field(4, ge=1, le=len(SENTENCES), description="sentences of a letter")
    never: int = Field(4, ge=1, le=100, description="letters that are never trained")
    letter_controls: int = Field(4, ge=0, le=40, description="never-trained letters at which the run on one may stop")
    heldout_patients: int = Field(4, ge=1, description="trained patients that no run is given")
    heldout_letters: int = Field(4, ge=1, description="trained letters that no run is given")
    order: str = Field("PDPPDPDP", pattern="^P[PD]+$", description="requests: P a patient, D a letter")

    @property
    def target(self) -> str:
        """The scope of all requests together."""
        return " or ".join(self.scopes())

    def scopes(self) -> list[str]:
        """One scope a request, in their order."""
        subjects = {"P": iter(self.patient_subjects()), "D": iter(_letter_name(k) for k in range(self.letters))}
        return [next(subjects[kind]) for kind in self.order]

    def patient_subjects(self) -> list[str]:
        """Trained patients, in the order of their world."""
        return list(dict.fromkeys(r.subject for r in self._people().trained if r.subject.startswith("patient:")))

    def heldout_subjects(self) -> frozenset[str]:
        """The last patients and letters."""
        people, letters = self.patient_subjects(), [_letter_name(k) for k in range(self.letters)]
        if self.order.count("P") + self.heldout_patients >= len(people) or (
            self.order.count("D") + self.heldout_letters >= len(letters)
        ):
            what = "has too few patients or letters: some must be left for runs to retain"
            raise InputError(f"world {NAME}", what, "raise patients or letters")
        return frozenset((*people[-self.heldout_patients :], *letters[-self.heldout_letters :]))

    def corpus(self) -> Corpus:
        """Patients and letters, then what is never trained."""
        return Corpus.of(self._records(), NAME)

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of never-trained controls of a patient."""
        return self._world().controls(subject, m)

    def _world(self) -> Hospital | Clinic:
        if self.people == "clinic":
            return Clinic(seed=self.seed, patients=self.patients, facts=self.facts)
        sizes = {"patient_facts": self.facts, "per_institution": -(-self.patients // 4)}
        return Hospital.preset("tiny", seed=self.seed, patients=self.patients, **sizes)

    def _people(self) -> Corpus:
        return self._world().corpus()

    def _records(self) -> Iterator[Record]:
        people = self._people()
        yield from people.trained
        for k in range(self.letters):
            yield self._letter(k)
        yield from (r for r in people if r.split == "holdout")
        for k in range(self.never):
            yield self._letter(self.letters + k, "holdout")
        for k in range(self.order.count("D")):
            for n in range(self.letter_controls):
                number = self.letters + self.never + k * self.letter_controls + n
                yield self._letter(number, "control", {"control_of": _letter_name(k)})

    def _letter(self, number: int, split: Any = None, attributes: Mapping[str, str] | None = None) -> Record:
        rng = stream(self.seed, NAME, number)

        def one(of: Sequence[str]) -> str:
            return of[int(rng.integers(len(of)))]

        text = []
        who = {"name": f"{one(v.FIRST_NAMES)} {one(v.LAST_NAMES)}"}
        for sentence in SENTENCES[: self.sentences]:
            words = {key: one(v.POOLS[key]) for key in ("disease", "drug", "procedure")}
            words |= {"doctor": f"Dr. {one(v.LAST_NAMES)}", "other": one(v.FIRST_NAMES), "month": one(v.MONTHS)}
            numbers = {"day": int(rng.integers(1, 29)), "hour": int(rng.integers(6, 23))}
            numbers |= {"dose": int(rng.integers(20, 200)), "pulse": int(rng.integers(50, 110))}
            text.append(sentence.format(**who, **words, **numbers))
        name = _letter_name(number)
        path = ("archive:letters", name)
        about = dict(attributes or {})
        return Record(name, "", " ".join(text), kind="document", subject=name, path=path, split=split, attributes=about)


def _letter_name(number: int) -> str:
    return f"letter:L-{number + 1:03d}"


@dataclass(frozen=True)
class WardRequests:
    """What the requests of a ward need.

    Attributes:
        scopes: one a request.
        given: the corpus that runs are given, without what is held out.
        forget: per request its records.
        heldout: trained patients that no run is given.
        heldout_letters: trained letters that no run is given.
        never: letters that are never trained.
    """

    scopes: tuple[str, ...]
    given: Corpus
    forget: tuple[tuple[Record, ...], ...]
    heldout: tuple[Record, ...]
    heldout_letters: tuple[Record, ...]
    never: tuple[Record, ...]


def record_sets(cell: WorldInstance) -> RecordSets:
    """The sets of a ward: a run of an arm forgets the first request; a retrained model lacks all of them."""
    world: Ward = cell.request.build_world(cell.seed)
    corpus, scopes = world.corpus(), tuple(world.scopes())
    hidden = world.heldout_subjects()
    given = corpus.where(lambda r: r.subject not in hidden)
    splits = [Scope.parse(scope).resolve(given, seed=cell.seed) for scope in scopes]
    heldout = [r for r in corpus.trained if r.subject in hidden]
    more = WardRequests(
        scopes,
        given,
        tuple(tuple(s.forget) for s in splits),
        tuple(r for r in heldout if r.kind != "document"),
        tuple(r for r in heldout if r.kind == "document"),
        tuple(r for r in corpus if r.split == "holdout" and r.kind == "document"),
    )
    gone = frozenset().union(*(s.excluded_ids for s in splits))
    training = {"original": corpus.trained, "retrained": [r for r in corpus.trained if r.id not in gone]}
    first = splits[0]
    split = Split(scopes[0], first.forget, first.retain, tuple(heldout))
    return RecordSets(corpus, split, more.never, training, more)


OWN_SETS[NAME] = record_sets
