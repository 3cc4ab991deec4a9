"""What every registered method promises, in every one of its modes. A new method is picked up by itself."""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from expunge.gradients import RULES
from expunge.methods import METHODS, Method, ModelOutputs, retain_loss

ROWS, TOKENS, VOCABULARY = 3, 5, 7
LENGTHS = (5, 3, 1)


def modes(name: str) -> Iterator[Method]:
    """The defaults, then each other value of each choice or switch, one at a time."""
    cls = METHODS.get(name)
    yield cls()
    for field, info in cls.model_fields.items():
        values: tuple[Any, ...] = (True, False) if info.annotation is bool else ()
        if get_origin(info.annotation) is Literal:
            values = get_args(info.annotation)
        yield from (cls(**{field: value}) for value in values if value != info.default)


LOSSES = [name for name, cls in METHODS if issubclass(cls, Method)]  # the others are edits: test_edits.py
MODES = [m for name in LOSSES for m in modes(name)]
every_mode = pytest.mark.parametrize("method", MODES, ids=lambda m: f"{m.name}-{MODES.index(m)}")


def batch(method: Method, padding: int = 0) -> ModelOutputs:
    """Random outputs with exactly what `method` needs; `padding` adds columns of rubbish."""
    random = torch.Generator().manual_seed(0)
    needs = method.requirements()
    mask = torch.zeros(ROWS, TOKENS + padding, dtype=torch.bool)
    for k, length in enumerate(LENGTHS):
        mask[k, :length] = True
    labels = torch.zeros(mask.shape, dtype=torch.int64)
    labels[mask] = torch.randint(VOCABULARY, (int(mask.sum()),), generator=random)

    def logits() -> Tensor:
        counted = torch.randn(ROWS, TOKENS, VOCABULARY, generator=random)
        rubbish = torch.randn(ROWS, padding, VOCABULARY, generator=torch.Generator().manual_seed(9)) * 5
        return torch.cat([counted, rubbish], 1)

    def logprob(values: Tensor) -> Tensor:
        return values.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1) * mask

    own, theirs, twin = logits(), logits(), logits()
    weights = torch.rand(mask.shape, generator=torch.Generator().manual_seed(4)) + 0.5
    weights[:, :TOKENS] = torch.rand(ROWS, TOKENS, generator=random) + 0.5
    asks_reference = needs.reference_logprobs or needs.reference_logits
    alternate = None
    if needs.alternates:
        alternate = ModelOutputs(logprob(twin).detach(), mask, labels, reference=ModelOutputs(logprob(theirs), mask))
    fields = {
        "has_alternate": torch.tensor([1.0, 0.0, 1.0]),
        "teacher": twin.log_softmax(-1),
        "floor": torch.tensor([9.0, 2.0, 9.0]),
        "is_gold": torch.tensor([True, True, False]),
        "has_teacher": torch.tensor([True, True, True]),
    }
    return ModelOutputs(
        logprob=logprob(own).requires_grad_(),
        mask=mask,
        labels=labels,
        logits=own.requires_grad_() if needs.logits else None,
        weights=weights if needs.token_weights != "none" else None,
        reference=ModelOutputs(logprob(theirs), mask, labels, theirs if needs.reference_logits else None)
        if asks_reference
        else None,
        targets={name: fields[name] for name in needs.targets or ()},
        level="L2" if needs.levels else None,
        alternate=alternate,
    )


def without(out: ModelOutputs) -> dict[str, ModelOutputs]:
    """`out` with each optional part taken away in turn; a level may be missing in any data."""
    parts = [n for n in ("reference", "logits", "weights", "alternate") if getattr(out, n) is not None]
    fewer = {name: {n: t for n, t in out.targets.items() if n != name} for name in out.targets}
    return {name: replace(out, **{name: None}) for name in parts} | {
        name: replace(out, targets=targets) for name, targets in fewer.items()
    }


@every_mode
def test_one_finite_loss_per_sequence(method: Method) -> None:
    loss = method.forget_loss(batch(method))
    assert loss.shape == (ROWS,)
    assert loss.isfinite().all()


@every_mode
def test_padding_changes_nothing(method: Method) -> None:
    plain, padded = method.forget_loss(batch(method)), method.forget_loss(batch(method, padding=3))
    assert torch.allclose(plain, padded, rtol=1e-6, atol=1e-7)


@every_mode
def test_the_gradient_lives_inside_the_mask_only(method: Method) -> None:
    out = batch(method, padding=2)
    method.forget_loss(out).sum().backward()
    slopes = [part.grad for part in (out.logprob, out.logits) if part is not None and part.grad is not None]
    assert slopes
    assert all(slope[~out.mask].eq(0).all() for slope in slopes)
    assert any(slope[out.mask].abs().sum() > 0 for slope in slopes)


@every_mode
def test_a_sequence_does_not_feel_the_others(method: Method) -> None:
    out = batch(method)
    method.forget_loss(out)[1].backward()
    slopes = [part.grad for part in (out.logprob, out.logits) if part is not None and part.grad is not None]
    assert all(slope[[0, 2]].eq(0).all() for slope in slopes)


@every_mode
def test_what_is_needed_and_missing_is_refused_by_name(method: Method) -> None:
    for part, poorer in without(batch(method)).items():
        with pytest.raises(ValueError, match="needs") as refusal:
            method.forget_loss(poorer)
        assert str(refusal.value), part


@every_mode
def test_levels_give_the_engine_usable_numbers(method: Method) -> None:
    for level in (None, "L1", "L2", "L3", "L4"):
        alpha = method.projection(level)
        assert alpha is None or alpha >= 0
        assert method.token_factor(level) >= 0


@every_mode
def test_settings_survive_json(method: Method) -> None:
    assert type(method).model_validate_json(method.model_dump_json()) == method


@pytest.mark.parametrize("name", LOSSES)
def test_a_method_documents_itself(name: str) -> None:
    cls = METHODS.get(name)
    lines = [*inspect.cleandoc(cls.__dict__["__doc__"]).splitlines(), ""]
    assert lines[0].endswith(".")
    assert not lines[1]
    assert cls.__dict__["source"]
    assert [n for n, f in cls.model_fields.items() if not f.description] == []


@pytest.mark.parametrize("name", LOSSES)
def test_a_methods_defaults_name_things_that_exist(name: str) -> None:
    cls = METHODS.get(name)
    assert cls.rule in RULES.names()
    assert cls.retain in ("ce", "kl", "logit", "none")


@pytest.mark.parametrize("name", LOSSES)
def test_settings_are_frozen_and_unknown_ones_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="no_such_setting"):
        METHODS.get(name).model_validate({"no_such_setting": 1})
    for field, info in METHODS.get(name).model_fields.items():
        with pytest.raises(ValidationError, match="frozen"):
            setattr(METHODS.get(name)(), field, info.default)


def test_the_promised_methods_are_there() -> None:
    promised = {"ga", "grad_diff", "kl_min", "npo", "simnpo", "ihl", "random_relabel", "idk", "sequential"}
    promised |= {"alt_po", "undial", "sugd"}
    assert promised | {"dual", "twin"} <= set(METHODS.names())


@pytest.mark.parametrize("kind", ["ce", "kl", "logit"])
def test_the_retain_term_keeps_to_the_mask_and_refuses_what_is_missing(kind: Any) -> None:
    class Everything(Method):
        def forget_loss(self, out: ModelOutputs) -> Tensor:
            return out.nll_mean

        def requirements(self) -> Any:
            return replace(self.needs, logits=True, reference_logits=True)

    out = batch(Everything(), padding=2)
    loss = retain_loss(kind, out)
    assert loss.shape == (ROWS,)
    assert torch.allclose(loss, retain_loss(kind, batch(Everything())), rtol=1e-6)
    loss.sum().backward()
    slope = (out.logprob if kind == "ce" else out.logits).grad  # type: ignore[union-attr]
    assert slope[~out.mask].eq(0).all()  # type: ignore[index]
    if kind != "ce":
        for poorer in (replace(out, reference=None), replace(out, logits=None)):
            with pytest.raises(ValueError, match="needs"):
                retain_loss(kind, poorer)
