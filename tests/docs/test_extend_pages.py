"""Every Python example of `docs/extend` runs as it stands; the blocks of a page share their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from expunge.audit.context import CHECKS, Context
from expunge.audit.metrics import METRICS
from expunge.audit.policy import Policy
from expunge.corpus.loaders import LOADERS
from expunge.gradients.base import RULES
from expunge.methods.base import METHODS
from expunge.synthetic.base import WORLDS
from helpers.audits import scores
from helpers.world import one_person

PAGES = Path(__file__).resolve().parents[2] / "docs" / "extend"
REGISTRIES = {
    "method": METHODS,
    "gradient-rule": RULES,
    "metric": METRICS,
    "check": CHECKS,
    "loader": LOADERS,
    "world": WORLDS,
    "plugins": METHODS,
}


@pytest.fixture
def clean_registries() -> Iterator[None]:
    before = {name: (dict(registry), registry)[0] for name, registry in REGISTRIES.items()}
    yield
    for name, registry in REGISTRIES.items():
        for added in set(registry._items) - set(before[name]):
            del registry._items[added]


def run_page(name: str) -> dict[str, object]:
    """Names that the page's blocks define."""
    blocks = re.findall(r"```python\n(.*?)```", (PAGES / f"{name}.md").read_text("utf-8"), re.S)
    space: dict[str, object] = {"__name__": f"docs_extend_{name}"}
    exec(compile("\n\n".join(blocks), f"{name}.md", "exec"), space)
    return space


@pytest.mark.usefixtures("clean_registries")
@pytest.mark.parametrize("page", sorted(REGISTRIES))
def test_examples_run_and_register_one_entry(page: str) -> None:
    before = set(REGISTRIES[page].names())
    run_page(page)
    assert len(set(REGISTRIES[page].names()) - before) == 1


def test_every_page_of_the_folder_is_run() -> None:
    assert {p.stem for p in PAGES.glob("*.md")} == set(REGISTRIES)


@pytest.mark.usefixtures("clean_registries")
def test_the_example_metric_takes_the_least_likely_token() -> None:
    run_page("metric")
    values = METRICS.get("worst_token").compute(scores([[-1.0, -3.0], [-0.5]]), ())
    assert np.allclose(values, [-3.0, -0.5])


@pytest.mark.usefixtures("clean_registries")
def test_the_example_check_compares_rates_of_its_probe() -> None:
    run_page("check")
    example = CHECKS.get("capitals")
    split = one_person()
    bare = Context(split, Policy.load(), ("original", "unlearned", "retrained"), {})
    assert example.make_probe is not None
    probe = example.make_probe(bare)
    assert probe is not None
    assert len(probe.records) == len(split.forget)
    answers = {"unlearned": scores([[-1.0]] * 4, ["1", "1", "0", "0"]), "retrained": scores([[-1.0]] * 4, ["0"] * 4)}
    ctx = Context(split, Policy.load(), ("original", "unlearned", "retrained"), {}, probes={"capitals": answers})
    result = example.run(ctx).results[0]
    assert (result.status, result.estimate) == ("failed", 0.5)
