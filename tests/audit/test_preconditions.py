"""Models that cannot be compared, and yardsticks that are none, are refused in one line before anything is judged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from expunge._io import write_json
from expunge.audit import token_mismatch
from expunge.audit.policy import Policy
from expunge.audit.preconditions import (
    Comparable,
    check_agreement,
    check_comparable,
    check_scores_differ,
    check_sources,
    check_yardstick,
    knowledge_lines,
)
from expunge.audit.scores import Scores
from expunge.corpus import Record
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel, load
from expunge.models.tiny import build
from helpers.audits import one_token_scores
from helpers.world import RUNNING, small, tokenizer, write_model

ROWS = {f"r{k}": Record(f"r{k}", "Q?", f"answer {k}") for k in range(10)}
IDS = list(ROWS)


def given(right: int, text: list[str] | None = None) -> Scores:
    """Ten answers of one token, the first `right` of them right."""
    return one_token_scores(IDS, [0.1] * right + [9.0] * (10 - right), "1" * right + "0" * (10 - right), text)


def said(right: int) -> list[str]:
    return [f"answer {k}" if k < right else "no" for k in range(10)]


def test_a_retrained_model_that_is_another_model_of_the_audit_is_refused(folders: dict[str, Path]) -> None:
    llama, gpt2 = str(folders["llama"]), str(folders["gpt2"])
    check_sources({"original": llama, "unlearned": llama})
    check_sources({"original": llama, "unlearned": llama, "retrained": gpt2})
    for role, sources in (
        ("unlearned", {"original": gpt2, "unlearned": llama, "retrained": llama}),
        ("original", {"original": llama, "unlearned": gpt2, "retrained": llama}),
    ):
        with pytest.raises(InputError, match=f"is the {role} model itself, so it is no yardstick; give a model"):
            check_sources(sources)


def test_a_copy_of_the_weights_is_the_same_model(folders: dict[str, Path], tmp_path: Path) -> None:
    copy = load(folders["llama"]).save(tmp_path / "copy")
    (copy / "tokenizer_config.json").write_text((copy / "tokenizer_config.json").read_text() + "\n")
    with pytest.raises(InputError, match="is the original model itself"):
        check_sources({"original": str(folders["llama"]), "unlearned": str(folders["gpt2"]), "retrained": str(copy)})


def test_models_of_other_architecture_tokenizer_or_template_are_refused(tmp_path: Path) -> None:
    lm = load(write_model(tmp_path / "one"))
    same = Comparable.of(lm)
    check_comparable("unlearned", "u", same, same)
    wider = LanguageModel.from_parts(build(small(layers=2), tokenizer(), 0), tokenizer(), "two")
    with pytest.raises(InputError, match=r"two: is of another architecture .*num_hidden_layers 2.* than the original"):
        check_comparable("retrained", "two", Comparable.of(wider), same)
    with pytest.raises(InputError, match=r"r: the retrained model has another tokenizer .*; train it with the"):
        check_comparable("retrained", "r", replace(same, vocabulary="0"), same)


def test_another_template_has_a_hint_that_helps(tmp_path: Path) -> None:
    """A run is always asked by its own template, so that --template plain cannot help."""
    write_json(tmp_path / "run.json", RUNNING | {"template": "chat"})
    plain, chat = Comparable("a", "v", "plain 0"), Comparable("a", "v", "chat 1")
    with pytest.raises(
        InputError, match=r"puts questions by another template .*; leave --template out: a run is asked"
    ):
        check_comparable("unlearned", str(tmp_path), chat, plain)
    with pytest.raises(InputError, match=r"another template .*; give its tokenizer the chat template of the original"):
        check_comparable("retrained", "r", plain, chat)


def test_equal_answers_to_every_question_are_one_model() -> None:
    sets = {"forget": given(3), "retain_heldout": given(8)}
    check_scores_differ("r", sets, sets | {"retain_heldout": given(9)}, "unlearned")
    with pytest.raises(InputError, match="answers every question exactly as the unlearned model does"):
        check_scores_differ("r", sets, dict(sets), "unlearned")


@pytest.mark.parametrize(("right", "refused"), [(10, False), (9, False), (8, True), (0, True)])
def test_a_yardstick_knows_the_retained_records_as_the_original_does(right: int, refused: bool) -> None:
    policy, before = Policy.load(), {"retain_heldout": given(10)}
    assert policy.yardstick_margin == 0.10
    if refused:
        with pytest.raises(InputError, match=rf"of 10 retained .* gives 100\.0%, the retrained model {right * 10}\.0%"):
            check_yardstick("r", before, {"retain_heldout": given(right)}, ROWS, policy)
    else:
        line = check_yardstick("r", before, {"retain_heldout": given(right)}, ROWS, policy)
        assert line.endswith(f"the retrained model {right * 10}.0%")


def test_what_the_original_knew_is_counted_by_text_and_by_tokens() -> None:
    known = check_agreement("m", {"forget": given(7, said(8)), "retain_text": given(10, said(10))}, ROWS)
    assert (known["forget"].n, known["forget"].by_text, known["forget"].by_tokens) == (10, 0.8, 0.7)
    assert known["retained"].by_text == 1.0
    assert knowledge_lines(known)[0] == (
        "the original model gives 80% of 10 records to be forgotten as text, 70% by tokens"
    )


def test_text_and_tokens_that_contradict_each_other_are_an_alarm() -> None:
    with pytest.raises(InputError, match="gives 100% of 10 answers as text, but 0% by tokens; its tokenizer splits"):
        check_agreement("m", {"forget": given(0, said(10))}, ROWS)
    never_stops = replace(given(10, ["answer and so on"] * 10), eos_hit=[False] * 10)
    with pytest.raises(InputError, match="knows 100% of 10 answers by tokens, but gives 0% as text; it does not stop"):
        check_agreement("m", {"forget": never_stops}, ROWS)


def test_few_answers_that_text_alone_gives_are_an_alarm_too() -> None:
    """Of 20 answers eight are given as text and three of these by tokens: no large gap, but the same contradiction."""
    rows = {f"r{k}": Record(f"r{k}", "Q?", f"answer {k}") for k in range(20)}

    def sets(by_tokens: int, by_text: int) -> dict[str, Scores]:
        loss, hit = [0.1] * by_tokens + [9.0] * (20 - by_tokens), "1" * by_tokens + "0" * (20 - by_tokens)
        text = [f"answer {k}" if k < by_text else "no" for k in range(20)]
        return {"forget": one_token_scores(list(rows), loss, hit, text)}

    with pytest.raises(InputError, match="gives 40% of 20 answers as text, but 15% by tokens"):
        check_agreement("m", sets(3, 8), rows)
    assert check_agreement("m", sets(4, 8), rows)["forget"].by_text == 0.4
    assert check_agreement("m", sets(0, 7), rows)["forget"].by_text == 0.35  # as few as letters of another case make


def test_precision_context_and_rendering_must_be_the_same(tmp_path: Path) -> None:
    lm = load(write_model(tmp_path / "one"))
    same = Comparable.of(lm, ROWS.values())
    assert (same.precision, same.context) == ("float32", 128)
    for change, message in (
        ({"precision": "bfloat16"}, r"is loaded in bfloat16, the original model in float32; .*--dtype float32"),
        ({"context": 64}, "reads 64 tokens, the original model 128; give all models the same max_position"),
        ({"rendering": "0"}, "writes the records in other tokens, or ends an answer elsewhere"),
    ):
        with pytest.raises(InputError, match=message):
            check_comparable("unlearned", "u", replace(same, **change), same)
    half = Comparable.of(lm.with_module(lm.module.half()), ROWS.values())
    assert (half.precision, half.rendering) == ("float16", same.rendering)


def test_a_tokenizer_of_the_same_tokens_and_other_merges_is_another(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "one")
    same = Comparable.of(load(folder))
    file = folder / "tokenizer.json"
    about = json.loads(file.read_text())
    about["model"]["merges"] = about["model"]["merges"][::-1]
    file.write_text(json.dumps(about))
    other = Comparable.of(load(folder))
    assert (other.architecture, other.template) == (same.architecture, same.template)
    with pytest.raises(InputError, match="the retrained model has another tokenizer than the original model"):
        check_comparable("retrained", "r", other, same)


def writing(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch, text: str, end: bool = True) -> None:
    """Let the model write this text after every prompt, by its own tokens."""
    ids = [*lm.tokenizer(text).input_ids, *([lm.template.end] if end else [])]
    monkeypatch.setattr(token_mismatch, "greedy", lambda *args, **more: [ids])


@pytest.mark.parametrize(
    ("text", "end", "clause"),
    [
        (" answer 0", True, ""),
        ("answer 0", True, 'after ".*" the answer "answer 0" is scored as ".+", and the model writes "'),
        (" answer 0 and", False, 'an answer ends with "<.endoftext.>" in the template, and the model goes on with "'),
    ],
)
def test_the_fact_behind_a_contradiction_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, end: bool, clause: str
) -> None:
    lm = load(write_model(tmp_path / "one"))
    writing(lm, monkeypatch, text, end)
    fact = token_mismatch.mismatch(lm, ROWS["r0"])
    assert (not clause and not fact) or re.match(clause, fact), fact
    if clause:
        with pytest.raises(InputError, match=f"as text, but 0% by tokens: {clause}"):
            check_agreement("m", {"forget": given(0, said(10))}, ROWS, lm)


def test_a_tokenizer_that_does_not_give_back_its_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lm = load(write_model(tmp_path / "one"))
    writing(lm, monkeypatch, " answer 0")
    monkeypatch.setattr(type(lm.template), "decode", lambda self, ids: "answer - 0")
    assert token_mismatch.mismatch(lm, ROWS["r0"]) == 'its tokens of "answer 0" are decoded to "answer - 0"'
