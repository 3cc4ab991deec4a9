"""Tables: a mean with its range, columns that line up."""

from __future__ import annotations

import math

from expunge.bench.table import filled, markdown, over_seeds, plain, show


def test_seeds_become_a_mean_and_a_range() -> None:
    found = over_seeds([{"x": 1.0, "y": 0.5}, {"x": 2.0, "y": 0.5}, {"x": 6.0, "y": 0.5}])
    assert found["x"] == {"mean": 3.0, "low": 1.0, "high": 6.0}
    assert show(found["x"], 1) == "3.0 (1.0 to 6.0)"
    assert show(found["y"]) == "0.500"
    assert math.isnan(over_seeds([{"x": math.nan}, {"x": 1.0}])["x"]["mean"])


def test_tables_hold_the_same_cells_as_text_and_as_markdown() -> None:
    rows = filled({"npo": over_seeds([{"x": 0.25}]), "original": over_seeds([{"x": 1.0}])}, ["x"], 2)
    assert rows == [["npo", "0.25"], ["original", "1.00"]]
    assert plain(["model", "x"], rows) == "model        x\nnpo       0.25\noriginal  1.00"
    assert markdown(["model", "x"], rows).splitlines()[1:3] == ["| --- | ---: |", "| npo | 0.25 |"]
