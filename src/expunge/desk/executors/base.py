"""What an executor is, and their registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from expunge._registry import Registry
from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.roles import Refusal


@dataclass(frozen=True)
class RunInput:
    """Options of `unlearn`, `train` and `audit`: paths relative to the folder of the run.

    Attributes:
        data: options that name the records.
        scope: scope of the records to forget.
        excluded: scope of these and of what earlier requests forgot, for training without them; for a rehearsal, of
            what other open requests ask for, too.
        parts: of several requests, id of each -> scope of its own records.
    """

    data: tuple[str, ...]
    scope: str
    excluded: str
    parts: dict[str, str] = field(default_factory=dict)


Words = Callable[[dict[str, Any], RunInput, str, str | None], list[str]]  # plan, input, model, base -> command line


@dataclass(frozen=True)
class Executor:
    """How a kind of plan is carried out.

    Attributes:
        words: Command line of the training, for the folder of the run.
        result: Folder of the result in it.
        needs_base: The model before fine-tuning must be known.
        rehearsal: Command line that tries the plan on other people, into the working directory; None without one.
    """

    words: Words
    result: str
    needs_base: bool = False
    rehearsal: Words | None = None

    def base(self, s: DeskSession, lineage: str) -> str | None:
        """The model before fine-tuning, if the kind needs it; `Refusal` if the weights do not name one."""
        if not self.needs_base:
            return None
        query = select(t.asset.c.settings).where(t.asset.c.lineage == lineage, t.asset.c.kind == "weights")
        base = json.loads(s.conn.execute(query).scalar_one()).get("base")
        if base is None:
            raise Refusal("run", f"the weights of {lineage} name no base", "set `base` of the asset, or unlearn")
        return str(base)


EXECUTORS: Registry[Executor] = Registry("kind of plan that can be carried out", "expunge.desk.executors")
