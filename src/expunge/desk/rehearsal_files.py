"""Where the files of a rehearsal lie: in a folder of their own in that of the run, which begins without them."""

from __future__ import annotations

FOLDER = "rehearsal"
FILE = "rehearsal.json"
