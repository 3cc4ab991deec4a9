"""A case that every test reads and none changes; no test is collected where the libraries are not installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from expunge.evidence.libraries import NEEDED
from helpers.cli import Cli, in_process

HAS_LIBRARIES = all(find_spec(name) for name in NEEDED["evidence"])
collect_ignore_glob = [] if HAS_LIBRARIES else ["test_*.py"]

if HAS_LIBRARIES:
    from helpers.evidence import EvidenceCase, write_case

    @pytest.fixture(scope="session")
    def case(tmp_path_factory: pytest.TempPathFactory) -> EvidenceCase:
        """A passed request with its certificate. Read only."""
        made = write_case(tmp_path_factory.mktemp("case"))
        made.save(made.make())
        return made

    @pytest.fixture
    def own_case(tmp_path: Path) -> EvidenceCase:
        """The same, to be changed."""
        made = write_case(tmp_path / "case")
        made.save(made.make())
        return made


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process."""
    return in_process(capsys)
