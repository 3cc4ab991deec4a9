"""The numbers of a model's configuration, checked before a model of that size is built.

A file of a few bytes may ask for a million blocks. It may also name code that would be fetched and run: an attention
function on the hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from expunge._foreign import foreign
from expunge.errors import InputError

MAX_BYTES = 4 * 2**20  # of config.json
BOUNDS = (  # names of counts, the most of them; the largest models have 128 blocks and 1024 experts
    (re.compile(r"(^|_)(n_layers?|layers|blocks|depth)$"), 1000),
    (re.compile(r"experts($|_)"), 10_000),
    (re.compile(r"(size|dim|width|length|positions?|embeddings?|heads?|rank|ctx|inner)$"), 2**31),
)
CODE = re.compile(r"(attn|attention|experts)_implementation")
MAX_DEPTH = 16


def read_config(source: str, **options: Any) -> dict[str, Any]:
    """The content of the config.json of a folder or hub id, after `check_config`."""
    from transformers import PretrainedConfig

    file = Path(source) / "config.json"
    if file.is_file() and file.stat().st_size > MAX_BYTES:
        raise InputError(str(file), f"holds more than {MAX_BYTES // 2**20} MiB", "use the config of the model")
    with foreign(source, "its config.json cannot be read", "name a folder written by save_pretrained"):
        raw, _ = PretrainedConfig.get_config_dict(source, **options)
    check_config(source, raw)
    return dict(raw)


def check_config(source: str, raw: Mapping[str, Any]) -> None:
    """`InputError` for a count that no model has, or an attention function on the hub."""
    for name, value in _entries(raw):
        if CODE.search(name) and isinstance(value, str) and "/" in value:
            what = f"its config names code on the hub ({name}: {value}), which is never run"
            raise InputError(source, what, f"take {name} out of config.json")
        for pattern, most in BOUNDS:
            if isinstance(value, int) and value > most and pattern.search(name):
                what = f"its config says {name}: {value}, more than {most:,}"
                raise InputError(source, what, "use the config of the model")


def _entries(values: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(name, number or text) of all levels."""
    if depth > MAX_DEPTH:
        return
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _entries(value, depth + 1)
        elif isinstance(value, list):
            yield from ((str(name), item) for item in value if not isinstance(item, Mapping | list))
        else:
            yield str(name), value
