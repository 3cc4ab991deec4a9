"""A copy of an audit without names and answers, for people who may see the verdict but not whom it is about.

It keeps every number, so the verdict can still be computed again, and the SHA-256 of the full file, so that whoever
holds that one can tell that it belongs to it. Prompts, answers, images and reasons of failed programs are left out;
names of subjects, nodes and the scope become "subject 1", "node 1" and "redacted".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from expunge._io import read_json, write_json
from expunge.audit.schema import AuditFile, load_audit, sealed
from expunge.audit.verdict import verdict
from expunge.errors import InputError

SCOPE = "redacted"
REMOVED = ("scope", "names of subjects and nodes", "prompts and answers", "images", "names of files and models")


def redact(audit: AuditFile, full_digest: str) -> AuditFile:
    """The copy. `full_digest`: SHA-256 of the file of the full audit, hex."""
    values = audit.model_dump(mode="json")
    hide = _hider(audit)
    values |= {"data": "", "examples": [], "image_examples": [], "notice": "", "seal": ""}
    values["split"] |= {"scope": SCOPE, "targets": [hide(name) for name in audit.split.targets]}
    values["models"] = {role: model | {"name": ""} for role, model in values["models"].items()}
    values["details"]["plugins"] = {}
    if values["details"].get("token_inventory"):
        values["details"]["token_inventory"]["tokens"] = []
    values["results"] = [_without_program_text(result) for result in values["results"]]
    for subject in values["subjects"]:
        subject["rows"] = [_without_program_text(row) for row in subject["rows"]]
    for part in ("results", "subjects", "details", "measures", "aggregates", "yardstick", "distributions"):
        values[part] = _everywhere(values[part], hide)
    values["redaction"] = {"full_digest": full_digest, "removed": list(REMOVED)}
    copy = AuditFile.model_validate({key: value for key, value in values.items() if key in AuditFile.model_fields})
    return sealed(copy.model_copy(update={"verdict": verdict(copy.results, copy.policy)}))


def write_redacted(source: Path, out: Path) -> AuditFile:
    """Write the redacted copy of the audit in `source` to `out`, and return it.

    Raises:
        InputError: `source` is no audit, or is itself a copy.
    """
    audit = load_audit(source)
    if audit.redaction:
        raise InputError(str(source), "is redacted already", "give the full audit.json")
    copy = redact(audit, file_digest(source))
    write_json(out, copy.model_dump(mode="json"))
    return copy


def check_redaction(copy: Path, full: Path) -> None:
    """Check that `copy` is the redacted copy of the audit in `full`.

    Raises:
        InputError: it is of another file, or was changed.
    """
    redacted = load_audit(copy)
    if redacted.redaction is None:
        raise InputError(str(copy), "is not redacted", "give the copy that --redact wrote")
    if redacted.redaction.full_digest != file_digest(full):
        raise InputError(str(copy), f"is not a copy of {full}", "the digest in it names another file")
    if redacted.model_dump(mode="json") != redact(load_audit(full), file_digest(full)).model_dump(mode="json"):
        raise InputError(str(copy), "says something else than the full audit", "the copy was changed; write it again")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex; `InputError` for one that cannot be read as JSON."""
    read_json(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _hider(audit: AuditFile) -> Callable[[str], str]:
    """Replaces names of subjects and nodes, whole words only, the longest first."""
    aliases: dict[str, str] = {}
    for number, name in enumerate(audit.split.targets, 1):
        for form in (name, name.rpartition(":")[2]):
            aliases.setdefault(form, f"subject {number}")
    way = audit.details.retention.tree.way if audit.details.retention and audit.details.retention.tree else ()
    for number, level in enumerate(way, 1):
        for form in (level.name, level.name.rpartition(":")[2]):
            aliases.setdefault(form, f"node {number}")
    names = sorted((name for name in aliases if name), key=len, reverse=True)
    if not names:
        return lambda text: text
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)")
    return lambda text: pattern.sub(lambda match: aliases[match[0]], text)


def _everywhere(value: Any, hide: Callable[[str], str]) -> Any:
    """`value` with all its texts changed, keys included."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {hide(key): _everywhere(item, hide) for key, item in value.items()}
    return [_everywhere(item, hide) for item in value] if isinstance(value, list) else value


def _without_program_text(result: dict[str, Any]) -> dict[str, Any]:
    """A result whose reason quotes no error of a program, which may hold a prompt."""
    if result["status"] != "not_run":
        return result
    return result | {"reason": ":".join(result["reason"].split(":")[:2])}
