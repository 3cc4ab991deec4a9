"""What an executor is, and their registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from expunge._registry import Registry
from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.roles import Refusal
from expunge.desk.run_input import RunInput

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
