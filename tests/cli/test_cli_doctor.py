"""The doctor: what is required and missing is named, and only that is a failure."""

from __future__ import annotations

from importlib.metadata import requires, version

import pytest

from expunge.cli.doctor import PackageState, packages, satisfies
from helpers.cli import Cli


def test_requirements_are_compared_with_what_is_installed() -> None:
    states = packages(["numpy>=2", "no-such-package-at-all<3,>=1", 'no-such-either; extra == "dev"', "numpy==0.1"])
    assert states[0] == PackageState("numpy", ">=2", version("numpy"))
    assert [p.state for p in states] == ["ok", "missing", "missing (optional: dev)", "another version"]
    assert [(p.name, p.wanted) for p in states[1:3]] == [("no-such-package-at-all", "<3,>=1"), ("no-such-either", "")]


def test_an_extra_of_ours_and_extras_of_others_are_no_packages() -> None:
    states = packages(['expunge[privacy]; extra == "dev"', "numpy[fast]>=2"])
    assert [(p.name, p.wanted, p.state) for p in states] == [("numpy", ">=2", "ok")]


@pytest.mark.parametrize(
    ("installed", "wanted", "right"),
    [("2.13.0+cpu", "==2.13.0", True), ("2.12.1", "==2.13.0", False), ("6.0", "<6,>=5.20", False), ("1", "", True)],
)
def test_versions_are_compared_as_pip_does(installed: str, wanted: str, right: bool) -> None:
    assert satisfies(installed, wanted) is right


def test_a_sound_installation_passes(cli: Cli) -> None:
    result = cli("doctor", "--json")
    assert (result.code, result.json["ok"], result.json["problems"]) == (0, True, [])
    torch = result.json["packages"]["torch"]
    assert f"torch{torch.pop('wanted')}" in requires("expunge")
    assert torch == {"installed": version("torch"), "state": "ok", "required": True}
    machine = result.json["machine"]
    assert machine["cores"] >= 1
    assert machine["threads"]
    assert machine["disk_free_gib"] > 0
    assert machine["device"].split()[0] in ("cpu", "cuda")


def test_a_missing_requirement_exits_1_and_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "expunge.cli.doctor.requires",
        lambda _: ["numpy>=2", "no-such-package-at-all>=1", 'no-such-either>=1; extra == "dev"'],
    )
    result = cli("doctor", "--json")
    assert result.code == 1
    assert result.json["problems"] == ["no-such-package-at-all>=1: missing"]
    assert "no-such-package-at-all>=1: missing" in cli("doctor").out
