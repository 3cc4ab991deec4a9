"""Every bad input of the report is one line that names the place and the problem."""

import json

import pytest

from expunge import InputError
from expunge.report.render import write_report
from helpers.audits import seal_of


def error_of(*arguments) -> str:
    with pytest.raises(InputError) as caught:
        write_report(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.fixture
def audit(tmp_path, build):
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(build()))
    return path


def change_file(path, change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data | {"seal": seal_of(data)}))


def test_a_missing_audit_is_named(tmp_path):
    assert error_of(tmp_path / "no.json", tmp_path / "r.html") == f"{tmp_path / 'no.json'}: there is no such file"


def test_a_folder_without_an_audit_is_named(tmp_path):
    assert error_of(tmp_path, tmp_path / "r.html").startswith(f"{tmp_path}: holds no audit.json")


def test_broken_json_is_named_with_its_line(tmp_path):
    (tmp_path / "audit.json").write_text('{"schema_version":\n 2,,}')
    assert error_of(tmp_path, tmp_path / "r.html").startswith(f"{tmp_path / 'audit.json'}:2: not valid JSON")


@pytest.mark.parametrize("text", ["[1, 2]", "{}", '"text"'])
def test_json_that_is_no_audit_is_refused(tmp_path, text):
    (tmp_path / "audit.json").write_text(text)
    assert "is no audit (it has no `schema_version`)" in error_of(tmp_path, tmp_path / "r.html")


def test_another_schema_version_is_refused_with_both_versions(tmp_path, audit):
    change_file(audit, lambda d: d.update(schema_version=99))
    line = error_of(audit, tmp_path / "r.html")
    assert "has schema version 99, and this version of expunge reads 3" in line


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d.pop("split"), ': the key "split" is missing'),
        (lambda d: d["split"].update(forget="many"), ": split.forget: must be a whole number"),
        (lambda d: d["results"][1].update(status="fine"), ": results.#2.status: must be 'passed'"),
        (
            lambda d: d["details"]["membership"]["control_ranks"]["unlearned"]["patient:P-1"].update(m=3),
            ": details.membership.control_ranks.unlearned.patient:P-1: every score needs the values",
        ),
    ],
)
def test_the_first_wrong_field_is_named(tmp_path, audit, change, place):
    change_file(audit, change)
    assert error_of(audit, tmp_path / "r.html").startswith(f"{audit}{place}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["verdict"].update(status="passed"),
            "the verdict is passed, but its required results make it failed",
        ),
        (lambda d: d["results"][3].update(status="passed"), "is failed, but its required results make it passed"),
        (
            lambda d: d["policy"]["rules"]["mia"].update(required=False),
            "the policy is not the one that its digest names",
        ),
        (lambda d: d["results"].append(d["results"][0]), "a result occurs twice"),
        (lambda d: d["models"].pop("original"), "the original model is missing"),
    ],
)
def test_an_audit_that_contradicts_itself_gets_no_report(tmp_path, build, change, message):
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(build({"mia": "failed"})))
    change_file(path, change)
    assert message in error_of(path, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_a_folder_as_output_is_refused(tmp_path, audit):
    assert error_of(audit, tmp_path).startswith(f"{tmp_path}: is a folder; name a file in it")


def test_the_audit_itself_is_never_overwritten(tmp_path, audit):
    before = audit.read_bytes()
    assert "is the audit itself" in error_of(audit, audit)
    assert audit.read_bytes() == before


def test_an_output_that_cannot_be_written_is_named(tmp_path, audit):
    target = audit / "report.html"  # a file where a folder would have to be
    assert error_of(audit, target).startswith(f"{target}: could not be written")


def test_a_run_that_is_no_run_is_named(tmp_path, audit):
    line = error_of(audit, tmp_path / "r.html", tmp_path)
    assert line.startswith(f"{tmp_path}: is not the directory of an unlearning run (no run.json)")


@pytest.mark.parametrize("name", ["split", "model"])
def test_a_run_on_another_split_or_model_is_refused(tmp_path, audit, run_dir, name):
    change_file(run_dir / "run.json", lambda d: d["identity"].update({name: "f" * 64}))
    assert f"is not the audited run: it used another {name}" in error_of(audit, tmp_path / "r.html", run_dir)


def test_a_broken_event_is_named_unless_it_is_the_cut_last_line(tmp_path, audit, run_dir):
    events = run_dir / "events.jsonl"
    lines = events.read_text().splitlines()
    events.write_text("\n".join([*lines[:5], lines[5][:10]]))
    write_report(audit, tmp_path / "r.html", run_dir)
    assert "“twin”, 5 steps" in (tmp_path / "r.html").read_text("utf-8")
    events.write_text("\n".join([lines[0], "{", *lines[1:]]))
    assert error_of(audit, tmp_path / "r.html", run_dir).startswith(f"{events}:2: not valid JSON")
    events.write_text('{"loss": 1}\n')
    assert error_of(audit, tmp_path / "r.html", run_dir).startswith(f'{events}:1: the key "step" is missing')


def test_a_run_without_events_or_recipe_is_reported_as_such(tmp_path, audit, run_dir):
    (run_dir / "events.jsonl").unlink()
    (run_dir / "recipe.yaml").unlink()
    text = write_report(audit, tmp_path / "r.html", run_dir).read_text("utf-8")
    assert "The run directory holds no losses" in text
    assert "The run directory holds no recipe.yaml." in text


def test_a_run_json_without_identity_is_refused(tmp_path, audit, run_dir):
    (run_dir / "run.json").write_text("[]")
    assert "must be a mapping of keys to values" in error_of(audit, tmp_path / "r.html", run_dir)


@pytest.mark.parametrize("content", [b"\x08\x00\x00\x00weights", b"<!DOCTYPE html><title>mine</title>", b"notes"])
def test_a_report_replaces_a_report_and_no_other_file(tmp_path, audit, content):
    target = tmp_path / "model.safetensors"
    target.write_bytes(content)
    assert error_of(audit, target).startswith(
        f"{target}: is there already, and is no report of an audit; choose another"
    )
    assert target.read_bytes() == content
    page = write_report(audit, tmp_path / "r.html").read_bytes()
    assert write_report(audit, tmp_path / "r.html").read_bytes() == page
