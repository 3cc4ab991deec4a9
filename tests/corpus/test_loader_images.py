"""Pictures at load: decoded once, refused with one line if anything is wrong, kept for tables that hold bytes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.cli import main
from expunge.corpus import Corpus, load_corpus
from expunge.corpus.loaders import SourceRow, images
from expunge.errors import InputError
from helpers.images import encoded, png_header


@pytest.fixture(autouse=True)
def _pillow() -> None:
    pytest.importorskip("PIL", reason="pictures need Pillow")


def rows(path: Path, *shown: object) -> Path:
    path.write_text(
        "\n".join(json.dumps({"prompt": f"Q{k}", "answer": "A", "image": image}) for k, image in enumerate(shown))
    )
    return path


def table(path: Path, *shown: object, kind: Any = None) -> Path:
    kind = kind or pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(
        pa.table(
            {
                "prompt": [f"Q{k}" for k in range(len(shown))],
                "answer": ["A"] * len(shown),
                "image": pa.array(shown, kind),
            }
        ),
        path,
    )
    return path


def fails(source: Path, *parts: str, where: str = ":1") -> None:
    with pytest.raises(InputError) as caught:
        load_corpus(source)
    assert str(caught.value).startswith(f"{source}{where}: ")
    assert len(str(caught.value).splitlines()) == 1
    for part in parts:
        assert part in str(caught.value)
    assert len(str(caught.value)) < 600


JUNK = {
    "empty": b"",
    "text": b"pixels",
    "half a header": encoded()[:20],
    "truncated": encoded(size=64)[:60],
    "truncated jpeg": encoded(7, "JPEG", 64)[:-100],
    "broken": encoded()[:45] + b"\xff" * 4 + encoded()[49:],
    "vector": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "pdf": b"%PDF-1.4\n",
    "gzip": b"\x1f\x8b\x08",
    "no pixels": png_header(0, 0),
}


@pytest.mark.parametrize("data", JUNK.values(), ids=JUNK.keys())
def test_what_is_no_whole_picture_is_refused_as_a_file_and_in_a_table(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "1.png").write_bytes(data)
    fails(rows(tmp_path / "rows.jsonl", "1.png"), 'image "1.png" ')
    fails(table(tmp_path / "rows.parquet", {"bytes": data, "path": "1.png"}), "the image ")


@pytest.mark.parametrize("size", [(20_000, 20_000), (8000, 7000), (100_000, 900), (2**31 - 1, 2**31 - 1)])
def test_a_picture_of_very_many_pixels_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "1.png").write_bytes(png_header(*size))
    fails(rows(tmp_path / "rows.jsonl", "1.png"), 'image "1.png" has more than 50 megapixels; make it smaller')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fails(table(tmp_path / "rows.parquet", {"bytes": png_header(*size), "path": None}), "50 megapixels")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_a_large_picture_stays_as_it_is(tmp_path: Path) -> None:
    data = encoded(5, "PNG", 2500)
    (tmp_path / "1.png").write_bytes(data)
    [record] = load_corpus(rows(tmp_path / "rows.jsonl", "1.png"))
    assert record.image
    assert record.image.data() == data


BAD_PATHS = {
    "url": ("https://example.org/1.png", "is not a relative path"),
    "absolute": ("/etc/passwd", "is not a relative path"),
    "above": ("a/../../1.png", "is not a relative path"),
    "windows": ("C:\\1.png", "is not a relative path"),
    "only a dot": (".", "is not a relative path"),
    "missing": ("none.png", "could not be read (No such file or directory); put it at"),
    "folder": ("folder", "is a folder; name a picture file"),
    "NUL": ("a\0.png", "could not be read (no usable path)"),
    "half a pair": ("\ud800.png", "could not be read"),
    "inline": ("data:image/png;base64," + "A" * 5000, "could not be read ("),
    "through a link": ("link.png", "leads outside the folder of the data, through a symbolic link"),
    "through a linked folder": ("links/1.png", "leads outside"),
    "circle": ("circle.png", "could not be read"),
    "device": ("null.png", "leads outside"),
    "number": (3, "the image is a number"),
    "list": (["1.png"], "the image is a list"),
    "text as bytes": ({"bytes": 7}, "the image is a number"),
    "object": ({"path": "../1.png"}, "is not a relative path"),
}


@pytest.mark.parametrize(("image", "part"), BAD_PATHS.values(), ids=BAD_PATHS.keys())
def test_a_bad_path_is_refused(tmp_path: Path, image: object, part: str) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    for folder in (data, outside, data / "folder"):
        folder.mkdir()
    (outside / "1.png").write_bytes(encoded())
    (data / "link.png").symlink_to(outside / "1.png")
    (data / "links").symlink_to(outside)
    (data / "circle.png").symlink_to(data / "circle.png")
    (data / "null.png").symlink_to("/dev/null")
    fails(rows(data / "rows.jsonl", image), part)


def test_the_command_line_says_it_in_one_line_and_ends_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.png").write_bytes(png_header(20_000, 20_000))
    assert main(["data", "identifiers", str(rows(tmp_path / "rows.jsonl", "1.png"))]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "50 megapixels" in line
    assert "Warning" not in line


def test_a_link_inside_the_folder_and_a_linked_folder_are_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "1.png").write_bytes(encoded())
    (tmp_path / "real" / "2.png").symlink_to("1.png")
    (tmp_path / "short").symlink_to("real")
    rows(tmp_path / "real" / "rows.jsonl", "1.png", "2.png")
    assert len({r.image and r.image.digest for r in load_corpus(tmp_path / "short" / "rows.jsonl")}) == 1


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_usual_formats_are_read_from_files_and_tables(tmp_path: Path, format: str) -> None:
    data = encoded(9, format)
    (tmp_path / "picture").write_bytes(data)
    [one] = load_corpus(rows(tmp_path / "rows.jsonl", "picture"))
    [two] = load_corpus(table(tmp_path / "rows.parquet", {"bytes": data, "path": None}))
    assert one.image
    assert two.image
    assert one.image.data() == two.image.data() == data
    assert one.image.name == "picture"
    assert two.image.name == f"images/{two.image.digest[:16]}.{images.FORMATS[format]}"


def test_bytes_in_a_table_are_one_picture_for_all_rows_and_survive_saving(tmp_path: Path) -> None:
    a, b = encoded(1), encoded(2)
    source = table(
        tmp_path / "rows.parquet",
        {"bytes": a, "path": "x/1.png"},
        {"bytes": a, "path": "x/1.png"},
        {"bytes": b, "path": "x/1.png"},
        {"bytes": b, "path": "../2.png"},
        {"bytes": None, "path": None},
        None,
    )
    found = [r.image for r in load_corpus(source)]
    assert found[4:] == [None, None]
    one, two, three, four = found[:4]
    assert one
    assert three
    assert one is two
    assert (one.name, three.name) == ("x/1.png", f"images/{three.digest[:16]}.png")  # the name was taken
    assert three == four
    assert isinstance(one.source, Path)
    assert one.source.parent.stat().st_mode & 0o077 == 0
    saved = load_corpus(load_corpus(source).save(tmp_path / "out" / "rows.jsonl"))
    assert [r.image and r.image.data() for r in saved] == [a, a, b, b, None, None]


def test_raw_bytes_and_paths_in_tables(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(encoded(1))
    raw = load_corpus(table(tmp_path / "raw.parquet", encoded(1), None, kind=pa.binary()))
    path = load_corpus(table(tmp_path / "path.parquet", {"bytes": None, "path": "1.png"}))
    [one, none], [two] = raw, path
    assert none.image is None
    assert one.image
    assert two.image
    assert one.image.digest == two.image.digest
    assert two.image.name == "1.png"


@pytest.mark.parametrize("name", ["rows.jsonl", "a\n.png", "/x.png", "https://h/x.png", "x" * 300 + ".png", "", "x"])
def test_a_name_that_is_no_safe_picture_name_is_not_used(tmp_path: Path, name: str) -> None:
    [record] = load_corpus(table(tmp_path / "rows.parquet", {"bytes": encoded(), "path": name}))
    assert record.image
    assert record.image.name.startswith("images/")


def test_each_picture_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(3):
        (tmp_path / f"{k}.png").write_bytes(encoded(k // 2))
    calls: list[str] = []
    real = images.image_suffix
    monkeypatch.setattr(images, "image_suffix", lambda *given: calls.append(given[1]) or real(*given))
    load_corpus(rows(tmp_path / "rows.jsonl", "0.png", "1.png", "0.png", "2.png", "2.png"))
    assert calls == ['image "0.png"', 'image "2.png"']


def test_the_same_relative_name_in_two_folders_is_two_names(tmp_path: Path) -> None:
    found = images.ImageReader()
    names = []
    for k in range(2):
        (tmp_path / str(k)).mkdir()
        (tmp_path / str(k) / "1.png").write_bytes(encoded(k))
        picture = found.of(SourceRow("x:1", {}, tmp_path / str(k)), "1.png")
        assert picture
        names.append(picture.name)
    assert names[0] == "1.png" != names[1]


def test_a_file_of_very_many_bytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 2**20)
    with (tmp_path / "1.png").open("wb") as stream:
        stream.truncate(2**21)
    fails(rows(tmp_path / "rows.jsonl", "1.png"), "is a file of more than 1 MiB")


def test_pillow_is_asked_for_only_when_there_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(encoded())
    rows(tmp_path / "with.jsonl", "1.png")
    rows(tmp_path / "without.jsonl", None)
    code = f"""
import sys
sys.modules["PIL"] = None
from expunge.corpus import load_corpus
from expunge.errors import InputError
print(len(load_corpus({str(tmp_path / "without.jsonl")!r})))
try:
    load_corpus({str(tmp_path / "with.jsonl")!r})
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "1",
        f"{tmp_path / 'with.jsonl'}:1: pictures need Pillow, which is not installed; pip install pillow",
    ]


def test_the_folder_of_kept_pictures_goes_with_the_process_that_made_it(tmp_path: Path) -> None:
    source = table(tmp_path / "rows.parquet", {"bytes": encoded(), "path": None})
    code = f"""
import multiprocessing
from expunge.corpus import load_corpus
picture = load_corpus({str(source)!r}).records[0].image
child = multiprocessing.get_context("fork").Process(target=picture.data)
child.start(); child.join()
print(picture.source.parent, child.exitcode, len(picture.data()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    folder, code_, size = done.stdout.split()
    assert (code_, size) == ("0", str(len(encoded())))
    assert not Path(folder).exists()
    assert not list(tmp_path.glob("expunge-*"))


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: int) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images, "picture_folder", refuse)
    with pytest.raises(InputError, match=r"temporary folder: pictures could not be written \(No space left"):
        load_corpus(table(tmp_path / "rows.parquet", {"bytes": encoded(), "path": None}))


def test_tables_of_large_pictures_are_read_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expunge.corpus.loaders import tables

    source = table(tmp_path / "rows.parquet", *({"bytes": encoded(k), "path": None} for k in range(9)))
    monkeypatch.setattr(tables, "BATCH_BYTES", 300)
    assert len(load_corpus(source)) == 9
    assert tables._rows_at_once(pq.ParquetFile(source)) < 9


def test_corpora_are_equal_however_their_pictures_came(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(encoded(3))
    one = load_corpus(rows(tmp_path / "rows.jsonl", "1.png"))
    two = load_corpus(table(tmp_path / "rows.parquet", {"bytes": encoded(3), "path": "1.png"}))
    assert isinstance(one, Corpus)
    assert one == two
    assert one.digest == two.digest
