"""What the desk brings along: no model library, and durable work only where a worker runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("rfc8785")


@pytest.mark.process
@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("expunge.desk.service", ("torch", "transformers", "dbos", "typer")),
        ("expunge.desk.views", ("torch", "dbos")),
        ("expunge.desk.lifecycle", ("torch", "sqlalchemy", "pydantic")),
        ("expunge.desk.guards", ("torch", "sqlalchemy")),
        ("expunge.cli.app", ("torch", "sqlalchemy", "dbos", "cryptography")),
    ],
)
def test_what_an_import_does_not_bring(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_of_the_service_is_there() -> None:
    from expunge.desk import service

    assert all(hasattr(service, name) for name in service.__all__)
    assert len(service.__all__) == len(set(service.__all__))
