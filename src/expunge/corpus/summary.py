"""What a corpus holds, counted in one pass: subjects, levels, repeated questions, lengths, identifiers."""

from __future__ import annotations

import statistics
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from expunge.corpus.corpus import Corpus
from expunge.corpus.name_forms import occurs
from expunge.corpus.record import Record, content_id
from expunge.corpus.text_folding import content_key

MAX_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, median and largest of some numbers."""

    minimum: int
    median: float
    maximum: int

    @classmethod
    def of(cls, values: Iterable[int]) -> Spread:
        """The spread of at least one number."""
        numbers = array("q", values)
        return cls(min(numbers), statistics.median(numbers), max(numbers))


@dataclass(frozen=True, slots=True)
class Repeats:
    """`count` records that repeat an earlier one, and the ids of the first pairs (earlier, later)."""

    count: int
    examples: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> Repeats:
        return cls(len(pairs), tuple(pairs[:MAX_EXAMPLES]))


@dataclass(frozen=True, slots=True)
class CorpusSummary:
    """Counts of a corpus.

    Attributes:
        records_per_subject: Spread over subjects.
        levels: Level of the tree -> nodes, shallow levels first.
        kinds, concepts, splits: Value -> records; "" counts records without one.
        duplicates: Records that say the same as an earlier one (turns, prompt and answer in any case and spacing, and
            picture).
        copies: Those of the duplicates that stand under another subject.
        conflicts: Records with prompt and picture of an earlier one, but another answer.
        prompt_length, answer_length: Characters.
        with_history: Records with turns before their prompt.
        with_identifiers: Records that list identifiers.
        named_in_prompt: Records with an identifier in the prompt, the turns before it, or the text of a document.
        with_variants, variants: Records that have variants, and all variants.
        with_image, images: Records that show a picture, and different pictures.
    """

    records: int
    subjects: int
    records_per_subject: Spread
    levels: Mapping[str, int]
    kinds: Mapping[str, int]
    concepts: Mapping[str, int]
    splits: Mapping[str, int]
    duplicates: Repeats
    copies: Repeats
    conflicts: Repeats
    prompt_length: Spread
    answer_length: Spread
    with_history: int
    with_identifiers: int
    named_in_prompt: int
    with_variants: int
    variants: int
    with_image: int
    images: int


def summarize(corpus: Corpus) -> CorpusSummary:
    """The counts of `corpus`, read once and in order."""
    subjects: Counter[str] = Counter()
    by_field: dict[str, Counter[str]] = {"kind": Counter(), "concept": Counter(), "split": Counter()}
    fields = ("with_history", "with_identifiers", "named_in_prompt", "with_variants", "variants", "with_image")
    totals = dict.fromkeys(fields, 0)
    prompt_length, answer_length = array("q"), array("q")
    images: set[str] = set()
    full: dict[str, tuple[str, str]] = {}  # digest of the content -> first id and its subject
    prompts: dict[str, str] = {}  # digest of prompt and picture -> first id
    duplicates: list[tuple[str, str]] = []
    copies: list[tuple[str, str]] = []
    conflicts: list[tuple[str, str]] = []
    for r in corpus:
        subjects[r.subject] += 1
        for name, counter in by_field.items():
            counter[getattr(r, name) or ""] += 1
        prompt_length.append(len(r.prompt))
        answer_length.append(len(r.answer))
        image = r.image.digest if r.image else None
        if image:
            images.add(image)
        totals["with_identifiers"] += bool(r.identifiers)
        texts = (r.prompt, *(turn.content for turn in r.history), *([r.answer] if r.kind == "document" else []))
        totals["named_in_prompt"] += any(occurs(name, text) for name in r.identifiers for text in texts)
        totals["with_history"] += bool(r.history)
        totals["with_variants"] += bool(r.variants)
        totals["variants"] += len(r.variants)
        totals["with_image"] += image is not None
        first, subject = full.setdefault(content_key(r), (r.id, r.subject))
        if first != r.id:
            duplicates.append((first, r.id))
            if subject != r.subject:
                copies.append((first, r.id))
        elif r.prompt and (other := prompts.setdefault(content_id(r.prompt, "", image, r.history), r.id)) != r.id:
            conflicts.append((other, r.id))
    nodes = Counter(node[-1].partition(":")[0] for node in corpus.tree.nodes if node)
    return CorpusSummary(
        records=len(corpus),
        subjects=len(subjects),
        records_per_subject=Spread.of(subjects.values()),
        levels={level: nodes[level] for level in corpus.tree.levels},
        kinds=dict(by_field["kind"]),
        concepts=dict(sorted(by_field["concept"].items())),
        splits=dict(by_field["split"]),
        duplicates=Repeats.of(duplicates),
        copies=Repeats.of(copies),
        conflicts=Repeats.of(conflicts),
        prompt_length=Spread.of(prompt_length),
        answer_length=Spread.of(answer_length),
        images=len(images),
        **totals,
    )


def plain_text(record: Record, end: str = "<end>") -> str:
    """A record as the plain prompt template shows it: picture, earlier turns, prompt, a space, answer, end token.

    The text of a document has no space before it, and an end token only where the document ends.
    """
    picture = f"<picture {record.image.name}>" if record.image else ""
    prompt = "\n".join([*(turn.content for turn in record.history), record.prompt])
    if record.kind == "document":
        return f"{picture}{prompt}{record.answer}{'' if record.attributes.get('continues') else end}"
    space = "" if not record.prompt or record.prompt[-1].isspace() else " "
    return f"{picture}{prompt}{space}{record.answer}{end}"
