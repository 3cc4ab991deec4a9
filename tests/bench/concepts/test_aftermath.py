"""Nothing asked is not nothing given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from expunge.bench.concepts import aftermath
from helpers.world import one_person


def test_a_target_of_a_single_fact_has_no_figure_for_relearning(folders: dict[str, Path], tmp_path: Path) -> None:
    split = one_person()
    single = [r for r in split.forget if r.fact_keys == split.forget[0].fact_keys]
    for forget, there in ((single, False), (split.forget, True)):
        sets: Any = SimpleNamespace(forget=forget, split=split)
        cell: Any = SimpleNamespace(seed=1, sets=lambda sets=sets: sets)
        found = aftermath.look(cell, folders["llama"], tmp_path / str(there))
        assert ("relearned" in found) == there
        assert {"relearned_benign", "int4"} <= set(found)
        assert aftermath.look(cell, Path("nowhere"), tmp_path / str(there)) == found  # made once
