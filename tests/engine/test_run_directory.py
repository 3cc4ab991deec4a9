"""A run directory belongs to one run: the same command goes on or has nothing to do, any other is refused."""

from __future__ import annotations

import json
import math
import shutil
import signal
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from expunge.engine.event import Event
from expunge.engine.relearning import relearn_steps
from expunge.engine.run_directory import RunDirectory
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError, Interrupted
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import load
from expunge.models.prompt_template import PromptTemplate
from helpers.runs import loop, recipe
from helpers.world import ABOUT, one_person, write_model

IDS = torch.tensor([[5, 9, 300, 7, 1, 12]])


@pytest.fixture(scope="module")
def finished(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps with a rate large enough to see. Read only."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return unlearn(folders["llama"], one_person(), recipe("npo", optimizer={"lr": 0.05}), out)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(f): (f.stat().st_mtime_ns, f.stat().st_size) for f in folder.rglob("*")}


def test_a_finished_run_is_complete_and_names_no_machine(finished: Path) -> None:
    about = json.loads((finished / "run.json").read_text())
    assert about["status"] == "finished"
    assert about["steps"] == len((finished / "events.jsonl").read_text().splitlines()) == 2
    assert about["split"] == one_person().summary()
    assert "npo" in (finished / "recipe.yaml").read_text()
    environment = json.loads((finished / "environment.json").read_text())
    assert set(environment) == {"python", "system", "machine", "packages"}
    assert environment["packages"]["torch"] == version("torch")


def test_the_same_command_again_computes_and_writes_nothing(folders: dict[str, Path], finished: Path) -> None:
    before = state(finished)
    steps: list[int] = []
    again = unlearn(
        folders["llama"],
        one_person(),
        recipe("npo", optimizer={"lr": 0.05}),
        finished,
        on_step=lambda event, total: steps.append(event.step),
    )
    assert again == finished
    assert state(finished) == before
    assert steps == []


def test_another_run_for_the_same_folder_is_refused_and_names_the_change(
    folders: dict[str, Path], finished: Path
) -> None:
    split, plan = one_person(), recipe("npo", optimizer={"lr": 0.05})
    edited = replace(split, forget=(replace(split.forget[0], answer="1 May 1900"), *split.forget[1:]))
    fewer = replace(split, forget=split.forget[1:])
    before = state(finished)
    for what, call in (
        ("recipe", lambda: unlearn(folders["llama"], split, recipe("npo"), finished)),
        ("model", lambda: unlearn(folders["gpt2"], split, plan, finished)),
        ("split, records", lambda: unlearn(folders["llama"], fewer, plan, finished)),
        ("split, records", lambda: unlearn(folders["llama"], edited, plan, finished)),
        ("template", lambda: unlearn(folders["llama"], split, plan, finished, template="plain")),
    ):
        with pytest.raises(InputError, match=rf"holds another run \(its {what} differs\)"):
            call()
    assert state(finished) == before


def test_a_place_that_is_no_run_directory_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for name, message in {"file": "is a file", "full": "is not empty and holds no run"}.items():
        with pytest.raises(InputError, match=message):
            unlearn(folders["llama"], one_person(), recipe("npo"), tmp_path / name)
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_a_run_that_cannot_start_leaves_the_folder_free(folders: dict[str, Path], tmp_path: Path) -> None:
    split = one_person()
    long = replace(split, retain=(replace(split.retain[0], prompt="why " * 200), *split.retain[1:]))
    with pytest.raises(InputError, match="the model reads at most 128"):
        unlearn(folders["llama"], long, recipe("npo"), tmp_path / "run")
    with pytest.raises(InputError, match="no such model folder"):
        unlearn(tmp_path / "a" / "gone", split, recipe("npo"), tmp_path / "run")
    with pytest.raises(InputError, match="no trainable parameter"):
        unlearn(
            folders["llama"],
            split,
            recipe("npo", phases=[{"steps": 1, "layers": (0,)}], train={"layers": 1}),
            tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()
    unlearn(folders["llama"], split, recipe("npo", steps=1), tmp_path / "run")


def test_a_polite_stop_keeps_a_checkpoint_and_the_same_command_goes_on(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    plan = recipe("npo", steps=6, checkpoint_every=100, optimizer={"lr": 0.05})

    def stop(event: Event, total: int) -> None:
        if event.step == 2:
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="stopped at step 3 of 6, checkpoint kept; start the same command again"):
        unlearn(folders["llama"], one_person(), plan, tmp_path / "a", on_step=stop)
    assert signal.getsignal(signal.SIGTERM) is before
    for out in ("a", "b"):
        unlearn(folders["llama"], one_person(), plan, tmp_path / out)
    one, two = (load_file(tmp_path / out / "adapter" / "adapter_model.safetensors") for out in ("a", "b"))
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_a_half_written_last_event_is_dropped_and_done_again(tmp_path: Path) -> None:
    run = RunDirectory.open(tmp_path / "run", {"recipe": "x"}, ABOUT)
    run.start("method: npo\n")
    for step in range(3):
        run.log(Event(step, 0, 1.5, math.nan, 2e-9, 1.0, 0.25, math.inf))
    file = tmp_path / "run" / "events.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"step": 3, "pha')
    assert [e["step"] for e in run.events()] == [0, 1, 2]
    first = next(run.events())
    assert (first["norm"], first["retain"], first["drift"]) == (2e-9, None, None)
    run.truncate_events(3)
    assert file.read_text() == whole
    run.truncate_events(1)
    assert [e["step"] for e in run.events()] == [0]
    assert RunDirectory.open(tmp_path / "run", {"recipe": "x"}, {}).finished is False


def began(folder: Path, *abouts: dict[str, Any]) -> list[RunDirectory]:
    """One process that opens a new folder for each of `abouts`, all before one of them starts."""
    return [RunDirectory.open(folder, {"recipe": "x"}, ABOUT | about) for about in abouts]


def test_who_opened_a_new_folder_too_goes_on_with_what_the_first_wrote(tmp_path: Path) -> None:
    first, second = began(tmp_path / "run", {"created": "1"}, {"created": "2", "rendered": "r"})
    first.start("method: npo\n")
    first.save_checkpoint({"step": 3})
    with pytest.raises(InputError, match="another process is writing this run"):
        second.start("method: npo\n")
    first.release()
    second.start("method: npo\n")
    assert (second.about["created"], second.about["rendered"]) == ("1", "r")
    assert second.load_checkpoint() == {"step": 3}


@pytest.mark.parametrize("other", [{"threads": 2}, {"template_date": "2026-01-02"}])
def test_who_opened_a_new_folder_with_other_threads_starts_again(tmp_path: Path, other: dict[str, Any]) -> None:
    """A checkpoint belongs to threads and date, so that the second process would not find its own."""
    first, second = began(tmp_path / "run", {"template_date": "2026-01-01"}, {"template_date": "2026-01-01"} | other)
    assert first.owner != second.owner
    first.start("method: npo\n")
    first.save_checkpoint({"step": 3})
    first.release()
    with pytest.raises(InputError, match=r"another process began this run in the meantime.*again to resume it"):
        second.start("method: npo\n")
    (again,) = began(tmp_path / "run", other)
    again.start("method: npo\n")
    assert again.load_checkpoint() == {"step": 3}


def test_a_run_that_another_process_finished_is_not_begun_again(finished: Path, tmp_path: Path) -> None:
    about = json.loads((finished / "run.json").read_text())
    late = RunDirectory(shutil.copytree(finished, tmp_path / "run"), about | {"status": "running"})
    before = state(tmp_path / "run")
    with pytest.raises(InputError, match="another process finished this run in the meantime; start the same command"):
        late.start("method: npo\n")
    assert state(tmp_path / "run") == before


def test_a_start_that_died_between_two_files_is_completed(tmp_path: Path) -> None:
    RunDirectory.open(tmp_path / "run", {"recipe": "x"}, ABOUT).start("method: npo\n")
    for name in ("recipe.yaml", "environment.json"):
        (tmp_path / "run" / name).unlink()
    RunDirectory.open(tmp_path / "run", {"recipe": "x"}, {}).start("method: npo\n")
    assert (tmp_path / "run" / "recipe.yaml").read_text() == "method: npo\n"
    assert (tmp_path / "run" / "environment.json").is_file()


def test_a_run_is_a_model_and_can_be_run_upon(folders: dict[str, Path], finished: Path, tmp_path: Path) -> None:
    said = load(finished).module(input_ids=IDS).logits
    assert not torch.equal(said, load(folders["llama"]).module(input_ids=IDS).logits)
    second: dict[str, Any] = {}
    for which in ("lora", "full"):
        plan = recipe("npo", steps=1, seed=7, train={"which": which}, optimizer={"lr": 0.05})
        second[which] = load(unlearn(finished, one_person(), plan, tmp_path / which))
    for lm in second.values():
        names = [n for n, _ in lm.module.named_parameters()]
        assert len([n for n in names if "lora" in n]) in (0, 3 * 7 * 2)  # at most one adapter
    with second["lora"].module.disable_adapter():
        torch.testing.assert_close(second["lora"].module(input_ids=IDS).logits, said, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(second["full"].module(input_ids=IDS).logits, said, atol=1e-3)


def test_the_reference_of_a_run_upon_a_run_is_the_first_runs_result(finished: Path) -> None:
    from expunge.engine.loop_builder import build_loop
    from expunge.models.adapters import prepare
    from expunge.models.language_model import merge_adapter

    lm, plan, split = merge_adapter(load(finished)), recipe("npo", optimizer={"lr": 0.05}), one_person()
    before = lm.module(input_ids=IDS).logits
    engine = build_loop(lm.with_module(prepare(lm.module, plan.train, 0)), plan.resolve(), split.forget, split.retain)
    engine.run(lambda event: None)
    assert not torch.equal(engine.lm.module(input_ids=IDS).logits, before)
    with engine.lm.module.disable_adapter():
        assert torch.equal(engine.lm.module(input_ids=IDS).logits, before)


def test_a_run_whose_model_was_taken_away_says_which(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["llama"], tmp_path / "model")
    run = unlearn(tmp_path / "model", one_person(), recipe("npo", steps=1), tmp_path / "run")
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(InputError, match=f"{tmp_path / 'model'}: there is no such model folder"):
        load(run)


def test_the_digest_of_a_model_depends_on_content_not_on_time_or_place(
    folders: dict[str, Path], finished: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folders["llama"], tmp_path / "copy")
    (copy / "train.json").write_text('{"progress": {"seconds": 1.5}}')
    assert model_digest(str(copy)) == model_digest(str(folders["llama"]))
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert model_digest(str(copy)) != model_digest(str(folders["llama"]))
    assert model_digest(str(write_model(tmp_path / "other", seed=1))) != model_digest(str(folders["llama"]))
    again = unlearn(folders["llama"], one_person(), recipe("npo", optimizer={"lr": 0.05}), tmp_path / "again")
    assert model_digest(str(again)) == model_digest(str(finished)) != model_digest(str(folders["llama"]))
    third = unlearn(folders["llama"], one_person(), recipe("npo", optimizer={"lr": 0.04}), tmp_path / "third")
    assert model_digest(str(third)) != model_digest(str(finished))
    assert model_digest("some/hub-id") == "some/hub-id"


def test_the_model_that_is_unlearned_is_never_written_to(folders: dict[str, Path], tmp_path: Path) -> None:
    before = state(folders["llama"])
    unlearn(folders["llama"], one_person(), recipe("npo", steps=1, train={"which": "full"}), tmp_path / "run")
    assert state(folders["llama"]) == before
    assert (tmp_path / "run" / "model" / "config.json").is_file()


def test_the_chosen_template_is_that_of_the_result(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["llama"], tmp_path / "chat")
    (tmp_path / "chat" / "chat_template.jinja").write_text("{% for m in messages %}U:{{ m.content }} A:{% endfor %}")
    assert load(tmp_path / "chat").template.kind == "chat"
    run = unlearn(tmp_path / "chat", one_person(), recipe("npo", steps=1), tmp_path / "run", template="plain")
    assert load(run).template.kind == "plain"


def test_finetuning_teaches_a_fresh_adapter_and_is_repeatable(
    folders: dict[str, Path], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = one_person()
    batches: list[list[str]] = []
    encode_all = PromptTemplate.encode_all
    monkeypatch.setattr(
        PromptTemplate, "encode_all", lambda self, rows: batches.append([r.id for r in rows]) or encode_all(self, rows)
    )
    one, two = (relearn_steps(load(finished), split.forget[:3], steps=3, lr=0.01) for _ in range(2))
    assert batches == [[r.id for r in split.forget[:3]]] * 2
    assert torch.equal(one.module(input_ids=IDS).logits, two.module(input_ids=IDS).logits)
    assert not torch.equal(one.module(input_ids=IDS).logits, load(finished).module(input_ids=IDS).logits)
    none, much = (relearn_steps(load(folders["llama"]), split.forget, steps=k, lr=0.02) for k in (0, 12))
    assert mean_loss(much, split.forget) < mean_loss(none, split.forget) - 0.5


def mean_loss(lm: Any, records: Any) -> float:
    from expunge.models.collate import collate
    from expunge.models.forward import answer_forward

    batch = collate(lm.template.encode_all(records))
    return float(-answer_forward(lm.module, batch).logprob(batch).detach().sum() / batch.mask.sum())


def test_the_state_of_a_loop_is_plain_and_restores_the_step(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("dual", steps=3))
    states: list[dict[str, Any]] = []
    engine.run(lambda event: states.append(engine.state.to_dict()))
    assert [s["step"] for s in states] == [1, 2, 3]
    later = loop(folders["llama"], recipe("dual", steps=3))
    later.state.restore(states[-1])
    assert later.state.step == 3
    later.run(lambda event: pytest.fail("there was no step left"))


def test_a_run_says_which_passes_it_made_and_leaves_no_cache_behind(folders: dict[str, Path], tmp_path: Path) -> None:
    last = recipe("npo", train={"layers": 1}, memory={"cache_mib": 0})
    unlearn(folders["llama"], one_person(), last, tmp_path / "last")
    unlearn(folders["llama"], one_person(), recipe("npo"), tmp_path / "all")
    said = {name: json.loads((tmp_path / name / "run.json").read_text())["passes"] for name in ("last", "all")}
    assert "blocks cached" in said["last"]
    assert "on disk" in said["last"]
    assert said["all"] == "plain: block 0 trains, so no block below it is frozen"
    assert not (tmp_path / "last" / "cache").exists()


def test_a_second_process_in_the_same_folder_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    plan, refused = recipe("npo", steps=3), []

    def again(event: Event, total: int) -> None:
        if event.step == 0:
            with pytest.raises(InputError, match="another process is writing this run; wait") as caught:
                unlearn(folders["llama"], one_person(), plan, tmp_path / "run")
            refused.append(caught.value.exit_code)

    unlearn(folders["llama"], one_person(), plan, tmp_path / "run", on_step=again)
    assert refused == [2]
    assert len((tmp_path / "run" / "events.jsonl").read_text().splitlines()) == 3
    assert not (tmp_path / "run" / "lock").exists()
