"""`expunge data …`: look at records before anything is done with them, and write them in other layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.options import Data, Folder, Loader, Mapping
from expunge.cli.result import CommandResult, ResultTable


def identifiers(
    source: Annotated[Path, typer.Argument(help="Records: a JSONL, CSV or Parquet file, or a folder.")],
    most: Annotated[
        float, typer.Option(help="A phrase must stand in more than this share of a subject's prompts.", min=0, max=1)
    ] = 0.5,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Propose the strings that name each subject, for records that carry no identifiers."""
    from expunge.corpus import load_corpus
    from expunge.corpus.identifiers import propose

    corpus = load_corpus(source, loader, map_)
    found = propose(corpus, most)
    subjects = {r.subject for r in corpus}
    return CommandResult(
        {"subjects": {name: list(phrases) for name, phrases in found.items()}, "without": len(subjects - set(found))},
        (
            ResultTable(("subject", "proposed identifiers"), [(name, "; ".join(p)) for name, p in found.items()]),
            f"{len(found)} of {len(subjects)} subjects have a phrase of their own",
        ),
    )


def export(
    layout: Annotated[str, typer.Option("--layout", help="Layout to write: medforget or mllmu.")],
    data: Data,
    out: Folder,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Write records in the layout of a benchmark; the loader of that name reads them back without loss."""
    from expunge.corpus import export as write
    from expunge.corpus import load_corpus
    from expunge.corpus.exports import EXPORTS

    EXPORTS.get(layout, "--layout")
    corpus = load_corpus(data, loader, map_)
    done = write(corpus, layout, out)
    lost = f"{done.left_out:,} of {len(corpus):,} records stand in no set and were left out"
    return CommandResult(
        {"layout": layout, "path": str(out), "records": len(corpus), "sets": done.sets, "left_out": done.left_out},
        (
            ResultTable(("set", "records"), list(done.sets.items())),
            *((lost,) if done.left_out else ()),
            f"written to {out}",
        ),
    )
