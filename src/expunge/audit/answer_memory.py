"""Answers remembered: who audits many models beside the same original and the same yardstick asks these two once.

Nothing is remembered outside of `remember`, and never what the unlearned model says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from expunge._io import digest
from expunge.audit.context import Context, Role

_memory: ContextVar[dict[str, Any] | None] = ContextVar("audit_answers", default=None)


@contextmanager
def remember(memory: dict[str, Any]) -> Iterator[None]:
    """Inside, `memory` is read and filled."""
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)


def remembered(ctx: Context, what: str, role: Role, compute: Callable[[], Any]) -> Any:
    """The result of `compute()`, or that of an earlier audit that asked the same model the same.

    The same is what has equal models but for the unlearned one, read alike, and equal records and policy. An exception
    that was an answer is computed again.
    """
    memory = _memory.get()
    if memory is None or role == "unlearned" or role not in ctx.identities:
        return compute()
    models = {name: value for name, value in ctx.identities.items() if name != "unlearned"}
    key = digest([what, role, models, ctx.split.digest, ctx.policy.digest, ctx.reference])
    if key not in memory or isinstance(memory[key], Exception):
        memory[key] = compute()
    return memory[key]
