"""Where a certificate is made: one function with plain data, so that whoever issues certificates needs no desk.

`plain_certificate` writes the statement without signatures. A desk that issues signed certificates gives its workers
another function of the same form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge._io import write_atomic
from expunge.evidence.canonical_json import canonical_bytes

FILE = "certificate.json"


@dataclass(frozen=True)
class CertificateResult:
    """A written certificate: its digest, whether it verified after it was written, and whether anybody signed it."""

    digest: str
    verified: bool
    signed: bool = True


Certify = Callable[[dict[str, Any], Path], CertificateResult]


def plain_certificate(data: dict[str, Any], folder: Path) -> CertificateResult:
    """Write the data as canonical JSON. The same data give the same bytes, so a repeat changes nothing.

    Args:
        data: see `run_steps.certificate_data`; opaque ids, digests, numbers and dates, no personal data.
        folder: folder of the run.
    """
    raw = canonical_bytes({"signed": False, **data})
    write_atomic(folder / FILE, raw)
    stored = (folder / FILE).read_bytes()
    passed = data["audit"]["status"] == "passed" and data["audit"]["guard"] != "failed"
    return CertificateResult(hashlib.sha256(stored).hexdigest(), stored == raw and passed, signed=False)
