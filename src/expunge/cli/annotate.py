"""`expunge concepts annotate`: highlight the concepts of a text or of records, and count them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli.options import Loader, Mapping, check_is_no_folder
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult, HighlightedText, ResultTable
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.concepts.span import Span
    from expunge.corpus import Corpus

EVERY = 500  # texts between two updates of the progress bar


def annotate(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A text, or records as JSONL, CSV or Parquet.")],
    dictionary: Annotated[Path, typer.Option(help="Names, concepts and levels, from `expunge concepts build`.")],
    stop: Annotated[Path | None, typer.Option(help="Further names to pass over, one per line.")] = None,
    limit: Annotated[int, typer.Option(help="Texts to show; the counts are of all.", min=0)] = 20,
    html: Annotated[Path | None, typer.Option(help="Also write the shown texts as an HTML page.")] = None,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Highlight the concepts of a text or of records by level, and count them."""
    from expunge._io import write_atomic
    from expunge.concepts.annotate import Annotator
    from expunge.concepts.dictionary import Dictionary
    from expunge.concepts.highlight import AssertionCounts, legend, page
    from expunge.concepts.stopwords import STOPWORDS, read_stopwords
    from expunge.corpus.loaders.text_source import require_file

    require_file(source)
    check_is_no_folder(html, "concepts.html")
    names = Dictionary.load(dictionary)
    if not len(names):
        raise InputError(str(dictionary), "holds no names", "make it anew with `expunge concepts build`")
    annotator = Annotator(names, STOPWORDS | (read_stopwords(stop) if stop else frozenset()))
    shown: list[tuple[str, str, tuple[Span, ...]]] = []
    counts = AssertionCounts()
    for name, text in texts(source, loader, map_):
        spans = annotator.annotate(text)
        counts.add(spans)
        if len(shown) < limit:
            shown.append((name, text, spans))
    if html:
        write_atomic(html, page(source.name, shown, counts), private=True)
    data: dict[str, Any] = {
        "file": source,
        "dictionary": dictionary,
        "names": len(annotator),
        "share": counts.share,
        **counts.as_row(),
        "html": html,
        "shown": [
            {"name": name, "text": text, "spans": [span.as_row() for span in spans]} for name, text, spans in shown
        ],
    }
    rest = [f"… and {pluralize(counts.texts - len(shown), 'more text')}"] if counts.texts > len(shown) else []
    assertions = "".join(f", {n:,} {name}" for name, n in sorted(counts.assertions.items()))
    return CommandResult(
        data,
        (
            *([HighlightedText("marks: [level status:words]", legend)] if shown else []),
            *(_highlight(*each) for each in shown),
            *rest,
            ResultTable(("level", "mentions"), list(counts.levels.items())),
            f"{counts.with_concept:,} of {pluralize(counts.texts, 'text')} ({counts.share:.1%}) with a concept: "
            f"{pluralize(counts.levels.total(), 'mention')} of {pluralize(len(counts.concepts), 'concept')}, "
            f"{counts.negated:,} negated{assertions}",
            *([f"page: {html}"] if html else []),
        ),
    )


def texts(source: Path, loader: str | None = None, mapping: Path | None = None) -> Iterator[tuple[str, str]]:
    """(name, text) of each record, or of each paragraph of a text; `InputError` for what cannot be read."""
    from expunge.corpus import load_corpus
    from expunge.corpus.loaders import LOADERS

    endings = {ending for name, each in LOADERS if name != "documents" for ending in each.suffixes}
    if loader or mapping or source.suffix.lower() in endings:
        yield from _records(load_corpus(source, loader, mapping))
    else:
        yield from _paragraphs(source)


def _records(corpus: Corpus) -> Iterator[tuple[str, str]]:
    with Progress().bar("annotate") as tick:
        for k, record in enumerate(corpus, 1):
            yield record.id, f"{record.prompt}\n\n{record.answer}" if record.prompt else record.answer
            if k % EVERY == 0:
                tick(k / len(corpus), pluralize(k, "record"))


def _paragraphs(source: Path) -> Iterator[tuple[str, str]]:
    from expunge.corpus.loaders.field_types import MAX_TEXT
    from expunge.corpus.loaders.text_source import lines

    paragraph: list[str] = []
    size = first = 0
    for number, line in lines(source):
        if line.strip():
            first = first if paragraph else number
            paragraph.append(line)
            size += len(line)
            if size > MAX_TEXT:
                raise InputError(
                    f"{source}:{first}",
                    f"the paragraph is longer than {MAX_TEXT:,} characters",
                    "split it with blank lines",
                )
        elif paragraph:
            yield f"line {first}", "".join(paragraph).rstrip()
            paragraph, size = [], 0
    if paragraph:
        yield f"line {first}", "".join(paragraph).rstrip()
    elif not first:
        raise InputError(str(source), "holds no text", "give a file with at least one word")


def _highlight(name: str, text: str, spans: tuple[Span, ...]) -> HighlightedText:
    from expunge._printable import visible
    from expunge.concepts.highlight import plain, rich_text

    return HighlightedText(
        f"{visible(name)}: {plain(text, spans)}", lambda: rich_text(f"{name}: ", ()).append(rich_text(text, spans))
    )
