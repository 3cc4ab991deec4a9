"""The page as a whole: self-contained, accessible, escaped, reproducible."""

import json
import re
from importlib.resources import files
from itertools import pairwise

import pytest

from expunge.report.render import write_report
from helpers.audits import ROLES
from helpers.report import Page

ORDER = [
    "verdict",
    "scope",
    "tables",
    "losses",
    "controls",
    "retention",
    "training",
    "checks",
    "attacks",
    "subjects",
    "examples",
    "limits",
    "use",
    "method",
]
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_sections_are_in_order_and_every_link_leads_to_one(page, build, run_dir):
    html = Page(page(build(), run_dir))
    assert [a["aria-labelledby"] for a in html.all("section")] == ORDER
    assert [a["href"] for a in html.all("a")] == [f"#{name}" for name in ORDER]
    assert {a["id"] for a in html.all("h2")} == set(ORDER)


def test_the_page_loads_nothing_and_has_no_script(page, build, run_dir):
    source = page(build(), run_dir)
    html = Page(source)
    assert not {"script", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in html.elements}
    for tag, attributes in html.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "data", "action"):
                assert value.startswith(("#", "data:")), (tag, name, value)
    assert not re.search(r"url\(|@import|https?://", source)
    policy = next(a["content"] for a in html.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_headings_nest_tables_have_captions_and_plots_have_labels(page, build, run_dir):
    html = Page(page(build(), run_dir))
    levels = [level for level, _ in html.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert len(html.captioned) >= 9
    assert all(html.captioned)
    plots = html.all("svg")
    assert len(plots) == 3 + 3 + 1 + 2 + 1  # losses, controls, retention, training, ROC
    assert all(p["role"] == "img" and len(p["aria-label"]) > 30 for p in plots)


def test_hostile_text_of_models_and_files_is_escaped(page, build, run_dir):
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
        role: {EVIL: panel}
        for role, panels in data["details"]["membership"]["control_ranks"].items()
        for panel in panels.values()
    }
    data["details"]["membership"]["control_ranks"]["unlearned"][EVIL] = {
        "z": {EVIL: 1.0},
        "controls": {EVIL: [0.0, 1.0, 2.0]},
        "m": 3,
    }
    (run_dir / "recipe.yaml").write_text(f"method: {EVIL}")
    (run_dir / "run.json").write_text((run_dir / "run.json").read_text().replace('"twin"', json.dumps(EVIL)))
    html = Page(page(data, run_dir))
    assert {(tag, tuple(attributes)) for tag, attributes in html.elements} <= harmless
    for section in ("verdict", "scope", "controls", "training", "checks", "examples", "limits", "method"):
        assert EVIL in html.text(section), section


def test_control_characters_of_outputs_are_visible(page, build):
    data = build()
    data["examples"][0]["answers"]["unlearned"] = "a\x00b\u202ec"
    source = page(data)
    assert "a␀b\ufffdc" in source
    assert not set("\x00\u202e") & set(source)


def test_missing_numbers_are_dashes(page, build, run_dir):
    data = build({"mia": "not_run"})
    for entry in data["results"]:
        entry |= {"estimate": None, "ci": [None, None], "reference": {"role": "controls", "estimate": None}}
    for measure in data["measures"]:
        measure["value"] = None
    data["details"]["retention"]["curve"][0]["exact_match"] = {"estimate": None, "ci": [None, None]}
    source = page(data, run_dir)
    assert not re.search(r"\bNone\b|\bnan\b|\bNaN\b|\bundefined\b", source)
    assert "–" in Page(source).text("checks")


def test_the_same_audit_gives_the_same_bytes_without_paths(page, build, run_dir, tmp_path):
    first = page(build(), run_dir)
    assert first == page(build(), run_dir)
    assert str(tmp_path) not in first


@pytest.mark.parametrize("place", ["audit.json", ".", "..", "../audit.json"])
def test_a_folder_that_holds_the_audit_is_read(tmp_path, build, place):
    folder = tmp_path / "audit"
    folder.mkdir()
    (folder / "audit.json").write_text(json.dumps(build()))
    source = {"audit.json": folder / "audit.json", ".": folder, "..": tmp_path}.get(place)
    if source is None:
        source = tmp_path / "copy"
        source.mkdir()
        (source / "audit.json").write_text(json.dumps(build()))
    out = write_report(source, tmp_path / "deep" / "report.html")
    assert out == tmp_path / "deep" / "report.html"
    assert "Unlearning audit" in out.read_text("utf-8")


def test_every_text_color_has_a_contrast_of_at_least_four_and_a_half():
    style = files("expunge.report").joinpath("templates/report.css").read_text("utf-8")
    colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style))

    def luminance(color: str) -> float:
        parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    for name in ("ink", "soft", "passed", "failed", "unsure", "idle"):
        assert 1.05 / (luminance(colors[name]) + 0.05) >= 4.5, name
