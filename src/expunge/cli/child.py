"""A command whose words come from standard input as a JSON list: no name stands in the list of processes.

Started as `python -m expunge.cli.child` by the workers of the desk.
"""

from __future__ import annotations

import json
import sys

from expunge.cli import main

if __name__ == "__main__":
    sys.exit(main(json.load(sys.stdin)))
