"""The record sets of a run that the certificate of a request commits to, under a key of that request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.desk.assets import asset_row, connector_of
from expunge.desk.connectors.corpus_file import CorpusFile
from expunge.desk.desk import Desk
from expunge.desk.matching import confirmed_objects
from expunge.desk.merged_input import MERGED
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.run_input import prepare_input, record_name

if TYPE_CHECKING:
    from expunge.corpus import Corpus
    from expunge.evidence.certificate_schema import SetCommitment
    from expunge.scope import Split
    from expunge.scope.near_duplicates import NearDuplicateChoice

LATER = ("variants", "identifiers", "attributes")  # fields that `data prepare` may add after a run


def commitments_of(
    desk: Desk, content: dict[str, Any], request_id: str, run: Path, key: bytes
) -> tuple[dict[str, SetCommitment], str]:
    """The commitments to forget, retain and holdout records of one request, and that to what selected them.

    The selection is the list of the ids that people confirmed. Empty for what is no run of `expunge unlearn`, which
    does not say what records it was given.

    Args:
        desk: the desk.
        content: content of the plan.
        request_id: the request.
        run: folder of the run.
        key: the request's key.

    Raises:
        Refusal: the corpora do not hold the records of the run any more (kind `conflict`).
    """
    from expunge.evidence.commitment import commit, selection_value
    from expunge.models.run_file import run_facts

    about = run_facts(run)
    if "request" not in about:
        return {}, ""
    split = _split(desk, content, run.parent, about)
    names = _names(desk, content, request_id)
    forget = [r for r in split.forget if r.id in names] if len(content["requests"]) > 1 else list(split.forget)
    sets: dict[Any, Sequence[Any]] = {"forget": forget, "retain": split.retain, "holdout": split.holdout}
    commitments: dict[str, SetCommitment] = {
        name: commit(key, name, [_fields(record) for record in records]) for name, records in sets.items()
    }
    return commitments, selection_value(key, "ids:" + ",".join(sorted(names)))


def _split(desk: Desk, content: dict[str, Any], folder: Path, about: dict[str, Any]) -> Split:
    """The split of a run, made again from its data; the paths of a scope start from the folder of the run."""
    from itertools import chain

    from expunge.corpus.record_store import digest_each
    from expunge.engine.request_chain import split_after
    from expunge.models.run_file import chain_of
    from expunge.scope import Scope

    text = str(about["scope"])
    scope = Scope(text, Scope.parse(text.replace("ids:@", f"ids:@{folder.absolute()}/")).term)
    seed, near = int(about["request"]["seed"]), _choice(about)
    corpus, links = _corpus(desk, content, folder), chain_of(about)
    if links:
        split = split_after(corpus, scope, links, seed=seed, near=near)
    else:
        split = scope.resolve(corpus, seed=seed, near=near)
    if digest_each(r.training_content() for r in chain(split.forget, split.retain)) != about["identity"]["records"]:
        what = "the corpora do not hold the records of the run any more"
        raise Refusal("certificate", what, "restore them, or run again", kind="conflict")
    return split


def _choice(about: dict[str, Any]) -> NearDuplicateChoice:
    choice: NearDuplicateChoice = (about.get("near_duplicates") or {}).get("choice") or "report"
    return choice


def _corpus(desk: Desk, content: dict[str, Any], folder: Path) -> Corpus:
    from expunge.corpus import load_corpus

    with desk.reading(SYSTEM) as s:
        if not (folder / MERGED).is_file():  # none was needed, or probes were shredded after the audit
            prepare_input(s, content, folder)
    if (folder / MERGED).is_file():
        return load_corpus(folder / MERGED)
    with desk.reading(SYSTEM) as s:
        connector = connector_of(asset_row(s, content["corpora"][0][0]))
    assert isinstance(connector, CorpusFile)
    return connector.load(desk.folder)


def _names(desk: Desk, content: dict[str, Any], request_id: str) -> frozenset[str]:
    """Ids of the confirmed records of a request, as the run was given them."""
    several = len(content["corpora"]) > 1
    with desk.reading(SYSTEM) as s:
        return frozenset(
            record_name(asset_id, name, several)
            for asset_id, _ in content["corpora"]
            for name in confirmed_objects(s, request_id, asset_id)
        )


def _fields(record: Any) -> dict[str, Any]:
    return {name: value for name, value in record.content().items() if name not in LATER}
