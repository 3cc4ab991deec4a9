"""What a person types: `expunge <noun> …`. One file per noun; nothing heavy is imported before it is needed.

Exit codes: 0 done and passed, 1 the program failed, 2 the input or the command is wrong, 3 the audit did not pass.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code; never raises for user errors."""
    from expunge.cli.app import app
    from expunge.cli.runner import run

    return run(app, list(sys.argv[1:] if argv is None else argv))
