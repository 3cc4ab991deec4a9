"""Requests over time: a run that starts from an earlier one knows what that one forgot, and keeps it forgotten.

`run.json` holds digests of what was asked, never names. A record is known again by its question, so what `data prepare`
adds, another id, or another place in the tree do not hide it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge._io import digest
from expunge.corpus import Corpus, Record
from expunge.corpus.record import content_id
from expunge.corpus.record_store import take
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.errors import InputError
from expunge.models.fingerprint import model_digest
from expunge.models.run_file import ChainLink, RequestSummary, chain_of, read_run_file, run_facts
from expunge.models.run_seal import SEAL, check_sealed
from expunge.models.source import base_of_run, read_finished_run
from expunge.scope import Scope
from expunge.scope.ast import nodes
from expunge.scope.near_duplicates import NearDuplicateChoice
from expunge.scope.resolve import resolve
from expunge.scope.split import Split

OPTION = "--after"
REDUCED = ("retain", "retain_heldout", "shared")  # sets of an earlier request that later ones take records from


def record_print(record: Record) -> str:
    """16 hex digits of SHA-256 over what a record asks: question, picture, and the turns before it.

    The answer is no part of it, or whoever reads run.json could try the few answers that there are to a question until
    one fits. Only a record that asks nothing, as a document, is known by its text.
    """
    image = record.image.digest if record.image else None
    asks = bool(record.prompt.strip() or image or record.history)
    return content_id(record.prompt, "" if asks else record.answer, image, record.history)


def _shared_print(record: Record) -> str:
    """As `record_print`, of this very record: somebody else's record may say the same, and stays."""
    return digest([record.id, record_print(record)])[:16]


def request_summary(split: Split, seed: int) -> dict[str, Any]:
    """What run.json keeps of a request, so that a later run can know its records again."""
    return RequestSummary(
        scope=digest(split.scope),
        seed=seed,
        near=split.near,
        forget=sorted({record_print(r) for r in split.forget}),
        shared=sorted({_shared_print(r) for r in split.shared}),
    ).model_dump()


def chain_after(run: str | Path) -> list[ChainLink]:
    """All requests that were forgotten when `run` ended, oldest first.

    Raises:
        InputError: it is no run, is not finished, is not as it was left, or does not say what it forgot.
    """
    folder = Path(run).expanduser()
    if not (folder / "run.json").is_file():
        raise InputError(f"{OPTION} {run}", "is no run", "name the folder that expunge unlearn wrote, or use --model")
    about = read_finished_run(folder)
    check_sealed(folder, about)
    request = about.get("request")
    if request is None:
        what = "does not say what it forgot, an earlier version wrote it"
        raise InputError(f"{OPTION} {run}", what, "unlearn it again, or start from it with --model, without guards")
    own = ChainLink(
        **request,
        run=about[SEAL],
        split=about["identity"]["split"],
        model=about["identity"]["model"],
        method=about["method"],
        created=about.get("created", ""),
    )
    return [*chain_of(about), own]


def check_base(model: str | None, links: Sequence[ChainLink], run: str | Path) -> None:
    """`InputError` if a model is given beside `--after`, and is neither that run nor what its chain began with."""
    if model is None or model_digest(model) in (links[0].model, model_digest(str(run))):
        return
    what = f"is another model than the one that {run} and the runs before it started from"
    raise InputError(f"--model {model}", what, f"leave it out; {OPTION} says what the run starts from")


def earlier_records(corpus: Corpus, links: Sequence[ChainLink]) -> tuple[list[int], list[int]]:
    """Positions among the trained records: what earlier requests forgot, and what else lay in their scopes."""
    forget = {text for link in links for text in link.forget}
    shared = {text for link in links for text in link.shared}
    gone, kept_out = [], []
    for k, record in enumerate(corpus.trained):
        if record_print(record) in forget:
            gone.append(k)
        elif shared and _shared_print(record) in shared:
            kept_out.append(k)
    return gone, kept_out


def split_after(
    corpus: Corpus, scope: Scope, links: Sequence[ChainLink], *, seed: int = 42, near: NearDuplicateChoice = "report"
) -> Split:
    """The split of a request that follows others: their records are in no set, and what they forgot is guarded.

    Raises:
        InputError: as `Scope.resolve`, or the request was fulfilled before.
    """
    for number, link in enumerate(links, 1):
        if link.scope == digest(scope.text):
            raise _twice(scope, number)
    gone, kept_out = earlier_records(corpus, links)
    trained = corpus.trained
    hidden = {trained[k].id for k in (*gone, *kept_out)}
    if not hidden:
        return scope.resolve(corpus, seed=seed, near=near)
    matches = scope.match(corpus)
    if not matches - hidden:
        raise _twice(scope, _number_of(take(trained, gone), matches, links))
    rest = corpus.where(lambda r: r.id not in hidden)
    split = resolve(rest, matches - hidden, nodes(scope.term, corpus, scope.where), scope.text, seed=seed, near=near)
    return replace(split, guards=take(trained, gone))


def _twice(scope: Scope, number: int) -> InputError:
    what = f"all that it names was forgotten by request {number} already"
    return InputError(scope.where, what, "name another scope, or audit the last run: it holds the earlier requests")


def _number_of(records: Sequence[Record], names: frozenset[str], links: Sequence[ChainLink]) -> int:
    """The first request that forgot one of these records; the last where none did."""
    prints = {record_print(r) for r in records if r.id in names}
    return next((k for k, link in enumerate(links, 1) if prints & set(link.forget)), len(links))


def audited_request(corpus: Corpus, scope: Scope, about: dict[str, Any], seed: int, near: NearDuplicateChoice) -> Split:
    """The split to audit a run on: of its own request, or of an earlier one in its chain.

    Of an earlier one the sets are those of its time, without what later requests have forgotten since.

    Args:
        corpus: the records.
        scope: the request.
        about: run.json of the audited run.
        seed: seed of its own held-out retain set.
        near: what its own request did with near-duplicates.
    """
    links = chain_of(about)
    earlier = next((k for k, link in enumerate(links) if link.scope == digest(scope.text)), None)
    if earlier is None:
        return split_after(corpus, scope, links, seed=seed, near=near)
    link: Any = links[earlier]
    split = split_after(corpus, scope, links[:earlier], seed=link.seed, near=link.near)
    later: list[Any] = [*links[earlier + 1 :], RequestSummary.model_validate(about["request"])]
    gone = {text for one in later for text in one.forget}
    sets: dict[str, Any] = {name: _without(getattr(split, name), gone) for name in REDUCED}
    return replace(split, **sets, origin=split.training_digest)


def _without(records: Sequence[Record], prints: set[str]) -> Sequence[Record]:
    return take(records, (k for k, r in enumerate(records) if record_print(r) not in prints))


def runs_of_chain(run: str | Path) -> Iterator[Path]:
    """The folders of the runs of a chain, oldest first, as far back as they are here; the last is `run` itself."""
    folder = Path(run).expanduser()
    folders = [folder]
    about = read_run_file(folder)
    while about.get("chain"):
        earlier = Path(base_of_run(folder, about))
        facts = run_facts(earlier)
        if facts.get(SEAL) != about["chain"][-1]["run"]:
            break
        folder, about = earlier, facts
        folders.append(folder)
    yield from reversed(folders)


def guard_note(resolved: ResolvedRecipe, guards: Sequence[Record]) -> str:
    """Why a run cannot guard what earlier requests forgot; empty where it can, or need not."""
    if not guards:
        return ""
    if resolved.edit:
        return "an edit of weights takes no steps"
    if resolved.recipe.privacy:
        return "a private run counts every record it is given"
    if not resolved.uses_retain:
        return "the recipe has no retain term"
    return "" if resolved.recipe.batch.retain > 1 else "a retain batch holds one row"
