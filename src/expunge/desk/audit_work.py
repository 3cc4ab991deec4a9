"""One audit of a run: made once, marked as done, found again by whoever goes on after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expunge._io import digest_file, read_object, write_atomic
from expunge.desk.child import STOPPED
from expunge.desk.run_work import RunWork
from expunge.desk.workshop import Answer

REFUSED = 2  # code of a command that cannot do what it was given


@dataclass(frozen=True)
class AuditWork:
    """The audits of a run, which differ in whose records they judge.

    Attributes:
        work: The work on the run.
        words: Command line that all of them share.
        policy: Digest of the policy that the plan names.
    """

    work: RunWork
    words: Sequence[str]
    policy: str

    def make(self, name: str, only: str | None = None, may_refuse: bool = False) -> str | Answer:
        """Make an audit, unless it is there, and return the status of its verdict; the answer of the step if it ended.

        Args:
            name: folder of the audit in that of the run.
            only: scope of the records that it judges; all that the run forgot without it.
            may_refuse: the status of an audit that cannot be made of these records is `not_run`, and the run goes on.
        """
        folder = self.work.folder
        if not is_audited(folder, name):
            part = ["--only", only] if only else []
            result = self.work.child([*self.words, *part, "--out", name], name)
            if result.code == STOPPED:
                return self.work.stopped()
            if may_refuse and result.code == REFUSED:
                return "not_run"
            if not result.done:
                return self.work.failed(f"audit ended with code {result.code}; see {name}.log")
        file = read_object(folder / name / "audit.json", "audit again")
        if file["policy_digest"] != self.policy:
            return self.work.failed("the audit followed another policy than the plan")
        write_atomic(folder / f"{name}.done", digest_file(folder / name / "audit.json"), private=True)
        return str(file["verdict"]["status"])


def is_audited(folder: Path, name: str) -> bool:
    """Whether an audit was finished by whoever worked here before, and is as it was: it is not made a second time."""
    mark, file = folder / f"{name}.done", folder / name / "audit.json"
    return mark.is_file() and file.is_file() and mark.read_text("utf-8") == digest_file(file)
