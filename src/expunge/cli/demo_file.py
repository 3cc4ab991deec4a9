"""The schema of `demo.json` and `demo-llm.json`, which keep the result of a demo."""

from __future__ import annotations

from typing import Any

from expunge._config import FrozenModel


class DemoFile(FrozenModel):
    """Digest of what was asked for, and what `--json` prints."""

    identity: str
    result: dict[str, Any]
