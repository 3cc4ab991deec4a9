"""Versions of a model that were in use before. Who has an old and a new one learns more than from either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from expunge.desk.connectors.base import CONNECTORS, Connector, PurgeOutcome
from expunge.desk.connectors.model_folder import remove_folder


@CONNECTORS.register("old_versions")
class OldVersions(Connector):
    """Folders of versions that the desk itself exchanged. Objects are their paths."""

    kinds: ClassVar[tuple[str, ...]] = ("old_weights",)
    about: ClassVar[str] = "versions of a model that the desk took out of use"
    searches: ClassVar[bool] = False

    lineage: str = Field(description="name of the model")

    def purge(self, root: Path, objects: Sequence[str], today: str) -> PurgeOutcome:
        removed = sum(remove_folder((root / path).absolute()) for path in objects)
        return PurgeOutcome(removed, len(objects) - removed)
