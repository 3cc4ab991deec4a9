"""The room imports no torch and opens no connection: tried with both blocked, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from helpers.evidence import EvidenceCase, write_trust

BLOCKED = """
    import importlib.abc, socket, sys

    class Block(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("torch", "transformers", "peft", "accelerate", "pandas"):
                raise ImportError(f"{name} is blocked")

    def no_network(*args, **kwargs):
        raise OSError("the network is blocked")

    sys.meta_path.insert(0, Block())
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = no_network
"""


@pytest.mark.process
def test_every_module_is_imported_without_torch() -> None:
    code = textwrap.dedent(BLOCKED) + textwrap.dedent("""
        import importlib, pkgutil
        from importlib.util import find_spec
        import expunge.evidence
        for module in pkgutil.walk_packages(expunge.evidence.__path__, "expunge.evidence."):
            if not module.name.endswith("scitt_face") or find_spec("scitt_cose"):
                importlib.import_module(module.name)
        assert "torch" not in sys.modules
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.process
def test_a_certificate_is_verified_without_torch_and_network(case: EvidenceCase, tmp_path: Path) -> None:
    trust = write_trust(tmp_path / "trust.yaml")
    words = ["certificate", "verify", case.certificate, "--trust", trust, "--model", case.model, "--audit", case.audit]
    code = textwrap.dedent(BLOCKED) + f"from expunge.cli import main\nsys.exit(main({[str(w) for w in words]!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok: ") == 12
    assert "VALID" in done.stdout
