"""Places that the desk cannot change itself: backups that expire, and copies at others, whom a person tells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from expunge.desk.connectors.base import CONNECTORS, Connector, PurgeOutcome


@CONNECTORS.register("backup")
class Backup(Connector):
    """Backups that expire a number of days after what they hold was deleted."""

    kinds: ClassVar[tuple[str, ...]] = ("backup", "logs")
    about: ClassVar[str] = "backups or logs that expire by themselves"
    searches: ClassVar[bool] = False

    days: int = Field(ge=1, le=3650, description="days after which the last copy has expired")

    def purge(self, root: Path, objects: Sequence[str], today: str) -> PurgeOutcome:
        until = (date.fromisoformat(today) + timedelta(days=self.days)).isoformat()
        return PurgeOutcome(due_on=until, note="expires")


@CONNECTORS.register("recipient")
class Recipient(Connector):
    """A copy at somebody else. A person tells them and notes it (`desk.recipients`); they confirm by a date."""

    kinds: ClassVar[tuple[str, ...]] = ("downstream",)
    about: ClassVar[str] = "a copy at a recipient, whom a person tells"
    searches: ClassVar[bool] = False

    recipient: str = Field(min_length=1, max_length=80, description="who has the copy")
    days: int = Field(30, ge=1, le=365, description="days within which it confirms")

    def notice(self, day: str) -> PurgeOutcome:
        """What holds once it was noted that the notice went out on a day."""
        until = (date.fromisoformat(day) + timedelta(days=self.days)).isoformat()
        return PurgeOutcome(due_on=until, note=f"told on {day}; confirmation is awaited", notice_on=day)
