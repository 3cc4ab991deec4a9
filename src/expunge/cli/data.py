"""`expunge data …`: look at records before anything is done with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.answer import Answer, Table
from expunge.cli.options import Loader, Mapping


def identifiers(
    source: Annotated[Path, typer.Argument(help="Records: a JSONL, CSV or Parquet file, or a folder.")],
    most: Annotated[
        float, typer.Option(help="A phrase must stand in more than this share of a subject's prompts.", min=0, max=1)
    ] = 0.5,
    loader: Loader = None,
    map_: Mapping = None,
) -> Answer:
    """Propose the strings that name each subject, for records that carry no identifiers."""
    from expunge.corpus import Corpus
    from expunge.corpus.identifiers import propose

    corpus = Corpus.load(source, loader, map_)
    found = propose(corpus, most)
    subjects = {r.subject for r in corpus}
    return Answer(
        {"subjects": {name: list(phrases) for name, phrases in found.items()}, "without": len(subjects - set(found))},
        (Table(("subject", "proposed identifiers"), [(name, "; ".join(p)) for name, p in found.items()]),
         f"{len(found)} of {len(subjects)} subjects have a phrase of their own"))
