"""Seeded fuzzing: inputs made from good ones by small and by hostile changes, each repeatable by its number.

`EXPUNGE_FUZZ` is the number of inputs of all kinds together (1,000 by default), `EXPUNGE_FUZZ_SEED` another seed, and
`EXPUNGE_FUZZ_ONLY=12` one input of a test again.
"""

from __future__ import annotations

import copy
import json
import os
import random
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from expunge.errors import InputError

TOTAL = int(os.environ.get("EXPUNGE_FUZZ", "1000"))
SEED = os.environ.get("EXPUNGE_FUZZ_SEED", "0")
ONLY = os.environ.get("EXPUNGE_FUZZ_ONLY")
SECONDS = 10.0  # of one input
LONGEST = 4000  # characters of a message

WORDS = (
    *(
        "",
        " ",
        "\n",
        "\t",
        "\r",
        "\0",
        "\x1b[2J",
        "\x7f",
        "\ufeff",
        "\u202e",
        "\u2028",
        "\ud800",
        "é",
        "e\u0301",
        "日本",
    ),
    *("null", "true", "nan", ".nan", ".inf", "-.inf", "1e999", "1e-3", "-1", "0", "0x_", "0b_", "1:30", "2001-99-99"),
    *("9" * 30, "9" * 5000, "1" * 400 + ".5", "!!int abc", "!!bool x", "!!timestamp x", "!!binary x", "!!set {x}"),
    *(
        "!!python/object:os.system x",
        "&a [*a]",
        "*a",
        "<<: *a",
        "<<",
        "? [a]",
        "- - - -",
        "[" * 300,
        "{" * 300,
        "(" * 300,
    ),
    *(
        "[]",
        "{}",
        "[[]]",
        "[null]",
        '"',
        "'",
        '""',
        "#",
        "%",
        "@",
        "@/dev/zero",
        "@.",
        "@@",
        "`",
        "=",
        "==",
        "&",
        "|",
        "!",
    ),
    *("and", "or", "not", "not not", "ids:", "ids:@", "mentions:", "file:", "..", "../..", "/", "//", "~", "~nobody"),
    *(
        "/dev/zero",
        "/etc/passwd",
        "a" * 300,
        "x" * 5000,
        "a,b",
        ";",
        ":",
        "::",
        "a: b",
        "- a",
        "---",
        "...",
        "{{ x }}",
        "${x}",
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**18, 10**40, 0.5, -0.0, 1e308, "", " ", "x", "\0", "\ud800"),
    *("\x1b[2J", "a" * 300, "x" * 100_000, "1", "-1", "nan", "null", "../x", "/dev/zero", "~nobody/x", "a/b", "auto"),
    *([], {}, [None], [[]], [1, 2], ["a"], {"a": 1}, {"": None}, [{}], {"a": {"b": []}}, [0] * 1000),
)


def rng_of(kind: str, number: int) -> random.Random:
    """The generator of one input."""
    return random.Random(f"{kind}/{SEED}/{number}")


def change_text(text: str, rng: random.Random) -> str:
    """One to four changes of a text."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        text = rng.choice((_insert, _insert, _replace_word, _delete, _double, _swap_lines, _repeat, _cut))(text, rng)
    return text


def _place(text: str, rng: random.Random) -> int:
    return rng.randint(0, len(text))


def _insert(text: str, rng: random.Random) -> str:
    at = _place(text, rng)
    return text[:at] + rng.choice(WORDS) + text[at:]


def _replace_word(text: str, rng: random.Random) -> str:
    """Another text for a word or for what follows a colon or an equals sign."""
    starts = [k for k in range(1, len(text)) if text[k - 1] in ' :=,[("' and text[k] not in " \n"]
    if not starts:
        return rng.choice(WORDS)
    start = rng.choice(starts)
    end = start + 1
    while end < len(text) and text[end] not in ' \n,])":=':
        end += 1
    return text[:start] + rng.choice(WORDS) + text[end:]


def _delete(text: str, rng: random.Random) -> str:
    start = _place(text, rng)
    return text[:start] + text[start + rng.choice((1, 2, 8, 40)) :]


def _double(text: str, rng: random.Random) -> str:
    start = _place(text, rng)
    part = text[start : start + rng.choice((1, 5, 30))]
    return text[:start] + part + text[start:]


def _swap_lines(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    rng.shuffle(lines)
    return "".join(lines)


def _repeat(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    return text + rng.choice(lines) * rng.choice((1, 3, 200))


def _cut(text: str, rng: random.Random) -> str:
    return text[: _place(text, rng)]


def change_bytes(raw: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes cut off, put in or taken out."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 3, 20))):
        at = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(5)
        if kind <= 1 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at : at + rng.choice((1, 8, 100))]
        elif kind == 3:
            data[at:at] = rng.choice((b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"\xed\xa0\x80", b"\r", bytes(64)))
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def change_value(value: Any, rng: random.Random) -> Any:
    """A copy of a JSON value with one to three of its parts replaced, renamed, wrapped or taken out."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(value))
        if not places or rng.random() < 0.03:
            return copy.deepcopy(rng.choice(VALUES))
        holder, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice((*WORDS[:30], "a" * 300, key + "x"))] = holder.pop(key)
        elif kind == 2:
            holder[key] = rng.choice(([holder[key]], {"a": holder[key]}, str(holder[key])))
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def fuzz(kind: str, share: float, attempt: Callable[[random.Random], Any], most: int | None = None) -> int:
    """Call `attempt` for this share of `TOTAL` inputs and fail on any exception but an `InputError`.

    Args:
        kind: Of the inputs; part of the seed.
        share: Of all inputs.
        attempt: Makes an input with its generator and gives it to the product.
        most: Inputs at most.

    Returns:
        How many of them were accepted.

    Raises:
        AssertionError: Other exceptions, messages that are long or hold control characters, inputs that take long.
    """
    count = max(1, round(share * TOTAL))
    numbers: Sequence[int] = [int(ONLY)] if ONLY else range(min(count, most or count))
    failures: list[str] = []
    accepted = 0
    for number in numbers:
        started = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                attempt(rng_of(kind, number))
            accepted += 1
        except InputError as error:
            line = str(error)
            if len(line) > LONGEST or "\x1b" in line or "\0" in line:
                failures.append(f"{number}: a message of {len(line)} characters: {line[:100]!r}")
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            place = next((f for f in reversed(frames) if "expunge" in f.filename), frames[-1])
            where = f"{place.filename.split('/src/')[-1]}:{place.lineno}"
            failures.append(f"{number}: {type(error).__name__}: {str(error)[:120]!r} ({where})")
        if time.process_time() - started > SECONDS:
            failures.append(f"{number}: took {time.process_time() - started:.0f} s")
    print(f"{kind}: {len(numbers)} inputs, {accepted} accepted")
    text = "\n".join(failures[:40])
    assert not failures, f"{len(failures)} of {len(numbers)} inputs of the kind {kind} (seed {SEED}):\n{text}"
    return accepted
