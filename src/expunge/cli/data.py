"""`expunge data check|export`: inspect records before a run, and write them in other layouts."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli.options import Data, Folder, Loader, Mapping, TemplateKind
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputWarning

if TYPE_CHECKING:
    from expunge.corpus import Corpus, Record
    from expunge.corpus.loaders import LoadedSource
    from expunge.corpus.summary import CorpusSummary, Repeats, Spread

Source = Annotated[Path, typer.Argument(help="Records: a JSONL, CSV, Parquet or text file, or a folder.")]
Delimiter = Annotated[
    str | None, typer.Option(help="Of a CSV file: comma, semicolon, tab, pipe or a character; detected if not given.")
]
Encoding = Annotated[
    str | None, typer.Option(help="Of a CSV or text file: utf-8, cp1252, utf-16 …; detected if not given.")
]
MAX_SHOWN = 600  # characters of a record in the terminal
MAX_FILES = 20  # in the terminal
SUBJECT_ORIGINS = {
    "column": "from a column",
    "tree": "patient node of the path",
    "conversation": "conversation",
    "id": "id of the record",
}


def check(
    source: Source,
    loader: Loader = None,
    map_: Mapping = None,
    model: Annotated[
        str | None, typer.Option(help="Model folder or hub id: show records through its template, count tokens.")
    ] = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    template: TemplateKind = "auto",
    scope: Annotated[
        str | None,
        typer.Option(
            "--scope", help="Also show what stays outside this scope and repeats it, and whether a run refuses that."
        ),
    ] = None,
) -> CommandResult:
    """Show how records are read: files, columns, counts, and the first records as a model sees them."""
    from expunge.corpus.loaders import TextFormat, load_source
    from expunge.corpus.summary import summarize

    loaded = load_source(source, loader, map_, TextFormat.of(delimiter, encoding))
    summary = summarize(loaded.corpus)
    if model:
        view, lines = _through_model(model, template, loaded)
    else:
        view, lines = _through_plain_template(loaded.corpus.records[:3])
    alike, alike_lines = _near_duplicates(scope, loaded.corpus) if scope else ({}, [])
    files, columns = loaded.places.files(), loaded.columns.uses()
    formats = {file: asdict(form) for file, form in loaded.formats.items()}
    data = {
        "source": source,
        "loader": {"name": loaded.loader, "reason": loaded.reason, "fixed_columns": loaded.fixed},
        "files": files,
        "formats": formats,
        "columns": [asdict(use) for use in columns],
        "subject_origins": dict(loaded.subjects.origins),
        **asdict(summary),
        **view,
        **alike,
    }
    table = [
        (use.column, use.field or ("attribute" if use.filled else "ignored, empty"), use.by or None, use.filled)
        for use in columns
    ]
    return CommandResult(
        data,
        (
            f"{source}: {pluralize(len(loaded.corpus), 'record')}, "
            f"read by the loader {loaded.loader} ({loaded.reason})",
            ResultTable(
                ("file", "rows", "read as"),
                [(file, rows, str(loaded.formats.get(file, "")) or None) for file, rows in files.items()][:MAX_FILES],
            ),
            *([f"and {pluralize(len(files) - MAX_FILES, 'more file')}"] * (len(files) > MAX_FILES)),
            *(["the layout has columns of its own; these are the fields that its loader makes:"] * loaded.fixed),
            ResultTable(("column", "becomes", "by", "filled"), table),
            ResultTable(("count", "value"), _counts(summary, loaded)),
            *alike_lines,
            *lines,
        ),
    )


def _near_duplicates(text: str, corpus: Corpus) -> tuple[dict[str, Any], list[str | ResultTable]]:
    """What a scope leaves outside that repeats one of its records, and whether a run refuses the scope for it."""
    from expunge.scope import Scope
    from expunge.scope.copies import CopiesRetained

    scope, refusal = Scope.parse(text), None
    try:
        with warnings.catch_warnings():  # the lines below say the same
            warnings.simplefilter("ignore", InputWarning)
            split = scope.resolve(corpus, near="report")
    except CopiesRetained as error:
        split, refusal = scope.resolve(corpus, near="take"), error
    about = split.near_duplicate_summary()
    rows = [(each["id"], each["of"], f"{each['share']:.0%}") for each in about["records"][:MAX_FILES]]
    return {
        "scope": text,
        "near_duplicates": {**about, "choice": "report"},
        "refusal": refusal and {"where": refusal.where, "what": refusal.what, "hint": refusal.hint},
    }, [
        f"outside {text}, {pluralize(about['count'], 'trained record repeats', 'trained records repeat')} "
        f"one to forget to {about['threshold']:.0%} or more of its words, the rare ones counting most",
        *([ResultTable(("record outside", "repeats", "share"), rows)] if rows else []),
        *([f"expunge unlearn refuses this: {refusal}"] if refusal else []),
    ]


def _counts(s: CorpusSummary, loaded: LoadedSource) -> list[tuple[str, str]]:
    origins = {SUBJECT_ORIGINS[origin]: count for origin, count in loaded.subjects.origins.items()}
    unnamed = s.with_identifiers - s.named_in_prompt
    return [
        ("subjects", f"{s.subjects:,} ({_each(origins)})"),
        ("records per subject", _spread(s.records_per_subject)),
        ("nodes of the tree", _each(s.levels) or "no paths"),
        ("kinds", _each(s.kinds)),
        ("with earlier turns", f"{s.with_history:,} of {pluralize(s.records, 'record')}"),
        ("concept levels", _each(s.concepts)),
        ("splits", _each(s.splits)),
        ("duplicate questions", _repeats(s.duplicates)),
        ("of these, under another subject", _repeats(s.copies)),
        ("same prompt, other answer", _repeats(s.conflicts)),
        ("characters of a prompt", _spread(s.prompt_length)),
        ("characters of an answer", _spread(s.answer_length)),
        (
            "identifiers",
            f"{s.with_identifiers:,} of {pluralize(s.records, 'record')} with some; "
            f"in {unnamed:,} of these the prompt contains none"
            if s.with_identifiers
            else "none; `expunge data identifiers` proposes some",
        ),
        ("variants", f"{s.variants:,}, in {s.with_variants:,} of {pluralize(s.records, 'record')}"),
        ("images", f"{s.images:,}, in {s.with_image:,} of {pluralize(s.records, 'record')}"),
    ]


def _each(counts: Any) -> str:
    return ", ".join(f"{name or 'none'} {count:,}" for name, count in counts.items())


def _spread(spread: Spread) -> str:
    return f"{spread.minimum:,} to {spread.maximum:,}, median {spread.median:,g}"


def _repeats(repeats: Repeats) -> str:
    pairs = ", ".join(f"{later} = {earlier}" for earlier, later in repeats.examples)
    return f"{repeats.count:,} ({pairs}{', …' * (repeats.count > len(repeats.examples))})" if pairs else "0"


def _one_line(text: str) -> str:
    if len(text) > MAX_SHOWN:
        text = f"{text[: MAX_SHOWN // 2]} … {text[-MAX_SHOWN // 2 :]}"
    return text.replace("\n", "\\n")


def _through_plain_template(records: Any) -> tuple[dict[str, Any], list[str]]:
    from expunge.corpus.summary import plain_text

    examples = [{"id": r.id, "text": plain_text(r)} for r in records]
    return {"template": "plain", "examples": examples}, [
        "the first records as the template plain shows them (--model FOLDER for the template of a model):",
        *(f"  {e['id']}: {_one_line(e['text'])}" for e in examples),
    ]


def _through_model(source: str, kind: str, loaded: LoadedSource) -> tuple[dict[str, Any], list[str]]:
    from expunge.corpus.summary import Spread
    from expunge.models.documents import split_documents
    from expunge.models.language_model import load

    template = load(source, template=kind).template
    windows = split_documents(loaded.corpus, template)
    documents = sum(r.kind == "document" for r in loaded.corpus)
    parts = len(windows) - len(loaded.corpus) + documents
    decode = template.tokenizer.decode
    examples = [_example(template.encode(r), r, decode) for r in windows[:3]]
    lengths = template.sizes(windows)
    tokens = Spread.of(lengths)
    too_long = sum(length > template.context for length in lengths)
    return {
        "template": template.kind,
        "context": template.context,
        "tokens": asdict(tokens),
        "too_long": too_long,
        "documents": documents,
        "windows": parts,
        "examples": examples,
    }, [
        *(
            [f"{pluralize(documents, 'document is', 'documents are')} read in {pluralize(parts, 'window')}"]
            * bool(documents)
        ),
        f"tokens of a record (without its image): {_spread(tokens)}; "
        f"{pluralize(too_long, 'record exceeds', 'records exceed')} the context of {template.context:,}",
        f"the first records through the template {template.kind} of {source}:",
        *(
            f"  {e['id']} ({e['prompt_tokens']} + {pluralize(e['answer_tokens'], 'token')}): {_one_line(e['text'])}"
            for e in examples
        ),
    ]


def _example(encoded: Any, record: Record, decode: Any) -> dict[str, Any]:
    return {
        "id": record.id,
        "text": decode([*encoded.prompt, *encoded.answer], clean_up_tokenization_spaces=False),
        "prompt_tokens": len(encoded.prompt),
        "answer_tokens": len(encoded.answer),
    }


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
    summary = write(corpus, layout, out)
    left_out = f"left out, because they stand in no set: {summary.left_out:,} of {pluralize(len(corpus), 'record')}"
    return CommandResult(
        {
            "layout": layout,
            "path": str(out),
            "records": len(corpus),
            "sets": summary.sets,
            "left_out": summary.left_out,
        },
        (
            ResultTable(("set", "records"), list(summary.sets.items())),
            *((left_out,) if summary.left_out else ()),
            f"written to {out}",
        ),
    )
