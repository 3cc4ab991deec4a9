"""What the page as a whole promises: self-contained, accessible, safe, the same bytes for the same audit."""

import json
import re
from importlib.resources import files
from itertools import pairwise

import pytest

from expunge.report.render import report
from helpers.audits import ROLES
from helpers.report import Page

ORDER = [
    "verdict",
    "asked",
    "figures",
    "losses",
    "controls",
    "retention",
    "training",
    "checks",
    "said",
    "limits",
    "method",
]
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_sections_stand_in_the_agreed_order_and_every_link_of_the_contents_leads_to_one(page, build, run_dir):
    found = Page(page(build(), run_dir))
    assert [a["aria-labelledby"] for a in found.all("section")] == ORDER
    assert [a["href"] for a in found.all("a")] == [f"#{name}" for name in ORDER]
    assert {a["id"] for a in found.all("h2")} == set(ORDER)


def test_nothing_is_loaded_from_outside_and_no_script_stands_in_the_page(page, build, run_dir):
    source = page(build(), run_dir)
    found = Page(source)
    assert not {"script", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in found.elements}
    for tag, attributes in found.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "data", "action"):
                assert value.startswith(("#", "data:")), (tag, name, value)
    assert not re.search(r"url\(|@import|https?://", source)
    policy = next(a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_headings_never_skip_a_level_tables_have_captions_and_pictures_have_words(page, build, run_dir):
    found = Page(page(build(), run_dir))
    levels = [level for level, _ in found.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert len(found.captioned) >= 9
    assert all(found.captioned)
    pictures = found.all("svg")
    assert len(pictures) == 3 + 3 + 1 + 2  # losses, controls, retention, training
    assert all(p["role"] == "img" and len(p["aria-label"]) > 30 for p in pictures)


def test_hostile_text_of_models_and_files_is_shown_and_never_becomes_markup(page, build, run_dir):
    data = build()
    harmless = {(tag, tuple(attributes)) for tag, attributes in Page(page(data, run_dir)).elements}
    data["examples"] = [dict.fromkeys(("prompt", "answer", "kind"), EVIL) | {"answers": dict.fromkeys(ROLES, EVIL)}]
    data["split"] |= {"scope": EVIL, "targets": [EVIL]}
    data["not_tested"] = [EVIL]
    data["environment"] |= {"python": EVIL, "packages": {EVIL: EVIL}}
    data["models"]["unlearned"]["digest"] = EVIL
    data["aggregates"][EVIL] = 0.5
    data["results"][0]["reason"] = EVIL
    data["results"].append(
        {**data["results"][0], "key": EVIL, "ci_method": EVIL, "controls": [{"key": EVIL, "note": EVIL}]}
    )
    data["details"]["membership"]["control_ranks"] = {
        role: {EVIL: place}
        for role, of in data["details"]["membership"]["control_ranks"].items()
        for place in of.values()
    }
    data["details"]["membership"]["control_ranks"]["unlearned"][EVIL] = {
        "z": {EVIL: 1.0},
        "controls": {EVIL: [0.0, 1.0, 2.0]},
        "m": 3,
    }
    (run_dir / "recipe.yaml").write_text(f"method: {EVIL}")
    (run_dir / "run.json").write_text((run_dir / "run.json").read_text().replace('"twin"', json.dumps(EVIL)))
    found = Page(page(data, run_dir))
    assert {(tag, tuple(attributes)) for tag, attributes in found.elements} <= harmless
    for section in ("verdict", "asked", "controls", "training", "checks", "said", "limits", "method"):
        assert EVIL in found.text(section), section


def test_control_and_direction_characters_of_outputs_are_made_visible(page, build):
    data = build()
    data["examples"][0]["answers"]["unlearned"] = "a\x00b\u202ec\ud800"
    source = page(data)
    assert "a␀b\ufffdc?" in source
    assert not set("\x00\u202e") & set(source)


def test_missing_numbers_are_dashes_and_never_the_words_of_a_program(page, build, run_dir):
    data = build({"mia": "not_run"})
    for entry in data["results"]:
        entry |= {"estimate": None, "ci": [None, None], "reference": {"role": "controls", "estimate": None}}
    for measure in data["measures"]:
        measure["value"] = None
    data["details"]["retention"]["curve"][0]["exact_match"] = {"estimate": None, "ci": [None, None]}
    source = page(data, run_dir)
    assert not re.search(r"\bNone\b|\bnan\b|\bNaN\b|\bundefined\b", source)
    assert "–" in Page(source).text("checks")


def test_the_same_audit_gives_the_same_bytes_without_dates_and_paths(page, build, run_dir, tmp_path):
    first = page(build(), run_dir)
    assert first == page(build(), run_dir)
    assert str(tmp_path) not in first


@pytest.mark.parametrize("place", ["audit.json", ".", "..", "../audit.json"])
def test_a_folder_that_holds_the_audit_is_as_good_as_the_file(tmp_path, build, place):
    folder = tmp_path / "audit"
    folder.mkdir()
    (folder / "audit.json").write_text(json.dumps(build()))
    given = {"audit.json": folder / "audit.json", ".": folder, "..": tmp_path}.get(place)
    if given is None:
        given = tmp_path / "copy"
        given.mkdir()
        (given / "audit.json").write_text(json.dumps(build()))
    out = report(given, tmp_path / "deep" / "report.html")
    assert out == tmp_path / "deep" / "report.html"
    assert "Audit of forgetting" in out.read_text("utf-8")


def test_every_text_colour_has_at_least_four_and_a_half_to_one_on_white():
    style = files("expunge.report").joinpath("report.css").read_text("utf-8")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style))

    def light(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    for name in ("ink", "soft", "passed", "failed", "unsure", "idle"):
        assert 1.05 / (light(colours[name]) + 0.05) >= 4.5, name
