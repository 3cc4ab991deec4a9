"""The folder of an audit: its lock, debris of a killed writer, and a broken audit.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge._folder import FolderLock
from expunge.audit.run import audit
from expunge.audit.schema import load_audit
from expunge.cli.audit import audited_split, check_out
from expunge.errors import InputError
from helpers.audits import audit_data
from helpers.world import one_person


def test_a_second_audit_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        FolderLock(tmp_path / "out", "audit"),
        pytest.raises(InputError, match="another process is writing this audit; wait for it to end"),
    ):
        audit("hub/original", "hub/unlearned", one_person(), tmp_path / "out")


def test_an_audit_that_cannot_start_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such model"):
        audit(tmp_path / "gone", tmp_path / "gone", one_person(), tmp_path / "a" / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for use in (
        lambda: audit("hub/original", "hub/unlearned", one_person(), tmp_path / "link"),
        lambda: check_out(tmp_path / "link", "hub/unlearned", one_person()),
    ):
        with pytest.raises(InputError, match="is a link that leads nowhere; name a folder for the audit"):
            use()


def test_debris_of_a_killed_audit_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    for name in ("lock", ".audit.json.k3j2h1ab.part"):
        (tmp_path / name).write_text("half")
    check_out(tmp_path, "hub/unlearned", one_person())
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="is not empty and holds no audit"):
        check_out(tmp_path, "hub/unlearned", one_person())


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"schema_version": 3}', '{"schema_version": 3, "x": 1}']
)
def test_a_broken_audit_json_is_one_line_with_advice(tmp_path: Path, content: str) -> None:
    (tmp_path / "audit.json").write_text(content)
    for use in (
        lambda: load_audit(tmp_path / "audit.json"),
        lambda: check_out(tmp_path, "hub/unlearned", one_person()),
    ):
        with pytest.raises(InputError) as caught:
            use()
        assert str(caught.value).startswith(f"{tmp_path / 'audit.json'}:")
        assert caught.value.hint
        assert "\n" not in str(caught.value)


def test_every_key_of_an_audit_json_that_holds_another_kind_is_named(tmp_path: Path) -> None:
    data = audit_data()
    for key in data:
        if key == "schema_version":
            continue
        (tmp_path / "audit.json").write_text(json.dumps(data | {key: [[1.5]]}))
        with pytest.raises(InputError, match=f"audit.json: {key}"):
            load_audit(tmp_path / "audit.json")


@pytest.mark.parametrize("content", ["[]", "null", '{"status": "finished"}', '{"identity": "x"}'])
def test_a_run_json_of_the_wrong_shape_stops_the_audit_in_a_line(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(content)
    monkeypatch.setattr("expunge.cli.options.load_split", lambda *_: one_person())
    for use in (
        lambda: audited_split(str(tmp_path / "run"), tmp_path, None, None, "", None),
        lambda: audit(tmp_path / "run", "hub/unlearned", one_person(), tmp_path / "out"),
    ):
        with pytest.raises(InputError, match=r"run.json.*run again in a new folder"):
            use()
