"""The result of a scoring pass of one model over one set of records. Every metric is arithmetic on it.

Nothing is padded: token values of all N records lie end to end in flat arrays [M], and record i owns
`offsets[i]:offsets[i + 1]`. The end token is not among them; it has arrays of its own (NaN where there is none).
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expunge._config import FrozenModel
from expunge._io import digest, parse_json, write_atomic
from expunge._summary import short_repr
from expunge._validation import validate
from expunge.errors import InputError, first_line

Values = NDArray[np.float64]
FORMAT: Literal["expunge-scores/2"] = "expunge-scores/2"

_TOKEN = {"logp": np.float32, "hit": np.bool_, "mu": np.float32, "sigma": np.float32}
_RECORD = {"eos_logp": np.float32, "eos_hit": np.bool_}
_RAGGED = ("option_logprob", "option_bytes", "option_tokens")
SEAL = "digest"  # name of the array that holds the digest of all others
BROKEN = "delete it, or the whole folder of scores; it is then scored again"


class ScoreHeader(FrozenModel):
    """The header of a score file: all that is no array."""

    format: Literal["expunge-scores/2"]
    of: str
    ids: list[str]
    text: list[str] | None
    option_logprob: list[list[float]] | None
    option_bytes: list[list[int]] | None
    option_tokens: list[list[int]] | None


@short_repr("ids", "logp", "text", "option_logprob")
@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of N records with M answer tokens in all. Arrays are read-only; equal content gives equal files.

    Attributes:
        ids: [N] unique keys, by default the `row_id` of each record.
        offsets: [N + 1] where the tokens of each record start.
        logp: [M] float32, log p of each answer token given the gold tokens before it (nats).
        hit: [M] bool, the most probable token equals the answer token.
        mu: [M] float32, mean of log p over the vocabulary under p (Min-K++).
        sigma: [M] float32, standard deviation of the same.
        eos_logp: [N] float32, log p of the end token; NaN if the template appends none.
        eos_hit: [N] bool, the end token is the most probable one; False if there is none.
        text: Greedy output per record, or None if nothing was generated.
        option_logprob: Per record the log-likelihood of each option's text (empty: no options), or None.
        option_bytes: UTF-8 bytes of each option, same shape.
        option_tokens: Tokens of each option, same shape, or None.
    """

    ids: tuple[str, ...]
    offsets: NDArray[np.int64]
    logp: NDArray[np.float32]
    hit: NDArray[np.bool_]
    mu: NDArray[np.float32]
    sigma: NDArray[np.float32]
    eos_logp: NDArray[np.float32]
    eos_hit: NDArray[np.bool_]
    text: tuple[str, ...] | None = None
    option_logprob: tuple[tuple[float, ...], ...] | None = None
    option_bytes: tuple[tuple[int, ...], ...] | None = None
    option_tokens: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        for name, kind in {"offsets": np.int64, **_TOKEN, **_RECORD}.items():
            array: NDArray[Any] = np.array(getattr(self, name), dtype=kind)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        self._check_shapes()
        self._check_values()

    def _check_shapes(self) -> None:
        n = len(self.ids)
        if len(set(self.ids)) != n:
            raise ValueError("ids of scores must be unique")
        if self.offsets.shape != (n + 1,) or self.offsets[0] != 0 or (np.diff(self.offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 and have {n + 1} entries")
        for names, size in ((_TOKEN, int(self.offsets[-1])), (_RECORD, n)):
            for name in names:
                if getattr(self, name).shape != (size,):
                    raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected ({size},)")
        for name in ("text", *_RAGGED):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise ValueError(f"{name} has {len(value)} entries, expected {n}")
        if self.option_logprob is not None and self.option_bytes is None:
            raise ValueError("option_logprob needs option_bytes")
        options = [value for name in _RAGGED if (value := getattr(self, name)) is not None]
        for i, rows in enumerate(zip(*options, strict=True)):
            if len({len(row) for row in rows}) > 1:
                raise ValueError(f'the option fields of record "{self.ids[i]}" differ in length')

    def _check_values(self) -> None:
        empty = np.flatnonzero(np.diff(self.offsets) == 0)
        if empty.size:
            raise InputError(
                f'record "{self.ids[empty[0]]}"',
                "its answer has no tokens",
                "give it an answer, or leave the record out",
            )
        bad = np.isnan(self.logp) | (self.logp > 1e-4) | np.isnan(self.mu) | ~(self.sigma >= 0)
        if bad.any():
            i = int(np.searchsorted(self.offsets, np.flatnonzero(bad)[0], side="right")) - 1
            raise InputError(
                f'record "{self.ids[i]}"',
                "its token scores are not log-probabilities",
                "look for NaN or infinity in the weights of the model",
            )
        for i, row in enumerate(self.option_logprob or ()):
            if not all(value <= 1e-4 for value in row):
                raise InputError(
                    f'record "{self.ids[i]}"',
                    "its option scores are not log-probabilities",
                    "look for NaN or infinity in the weights of the model",
                )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def length(self) -> NDArray[np.int64]:
        """Answer tokens, [N], at least 1."""
        return np.diff(self.offsets)

    @cached_property
    def nll(self) -> Values:
        """-Σ log p over the answer tokens, [N], nats, end token excluded."""
        return -self.sum(self.logp)

    @cached_property
    def entropy(self) -> Values:
        """Entropy of the distribution, mean over answer positions under teacher forcing, [N], nats."""
        return -self.sum(self.mu) / self.length

    @cached_property
    def entropy_first(self) -> Values:
        """Entropy at the first answer position, [N], nats; no answer token has been read there."""
        return -self.mu[self.offsets[:-1]].astype(np.float64)

    def sum(self, tokens: NDArray[Any]) -> Values:
        """Sum of token values [M] over each record, [N], in float64."""
        if not self.ids:
            return np.zeros(0)
        return np.asarray(np.add.reduceat(tokens.astype(np.float64), self.offsets[:-1]))

    def rows(self, tokens: NDArray[Any]) -> list[NDArray[Any]]:
        """Token values [M] as one array per record."""
        return np.split(tokens, self.offsets[1:-1]) if self.ids else []

    def select(self, ids: Sequence[str]) -> Scores:
        """The scores of these records in this order, joined by id; `InputError` for one without."""
        position = {name: i for i, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in position]
        if missing:
            raise InputError(
                "scores",
                f'there is no score for record "{missing[0]}"'
                + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""),
                "score the whole record set with this model",
            )
        order = np.array([position[name] for name in ids], dtype=np.int64)
        length = self.length[order]
        offsets = np.concatenate([[0], np.cumsum(length)])
        token = np.repeat(self.offsets[order] - offsets[:-1], length) + np.arange(offsets[-1])
        arrays: dict[str, Any] = {name: getattr(self, name)[token] for name in _TOKEN}
        arrays |= {name: getattr(self, name)[order] for name in _RECORD}
        optional: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else tuple(value[i] for i in order)
            for name in ("text", *_RAGGED)
        }
        return Scores(ids=tuple(ids), offsets=offsets, **arrays, **optional)

    def save(self, path: Path | str, of: str = "") -> Path:
        """Write one `.npz`, whole or not at all; the same scores give the same bytes.

        Args:
            path: the file.
            of: what these are the scores of, for example a digest of model and records; `load` compares it.
        """
        header = {"format": FORMAT, "of": of, "ids": self.ids} | {k: getattr(self, k) for k in ("text", *_RAGGED)}
        arrays: dict[str, NDArray[Any]] = {
            "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
            "offsets": self.offsets,
            **{name: getattr(self, name) for name in (*_TOKEN, *_RECORD)},
        }
        stream = io.BytesIO()
        sealed: dict[str, Any] = {**arrays, SEAL: np.array(_content_digest(arrays))}
        np.savez(stream, **sealed)
        return write_atomic(path, stream.getvalue(), private=True)

    @classmethod
    def load(cls, path: Path | str, of: str = "") -> Scores:
        """Read what `save` wrote.

        Args:
            path: the file.
            of: as given to `save`.

        Raises:
            InputError: a missing, damaged, changed or foreign file, or the scores of something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            text = arrays["header"].tobytes().decode()
            fields = {name: arrays[name] for name in ("offsets", *_TOKEN, *_RECORD)}
        except FileNotFoundError as error:
            raise InputError(str(path), "there is no such file") from error
        except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(str(path), "is not a file of scores", BROKEN) from error
        header = validate(ScoreHeader, parse_json(text, str(path), BROKEN), str(path), BROKEN)
        if str(arrays.pop(SEAL, "")) != _content_digest(arrays):
            raise InputError(str(path), "was changed after it was written", BROKEN)
        if header.of != of:
            raise InputError(str(path), "holds the scores of another model or of other records", BROKEN)
        ragged: dict[str, Any] = {
            name: None if (rows := getattr(header, name)) is None else tuple(map(tuple, rows)) for name in _RAGGED
        }
        answers = None if header.text is None else tuple(header.text)
        try:
            return cls(ids=tuple(header.ids), text=answers, **fields, **ragged)
        except (ValueError, TypeError, IndexError) as error:
            raise InputError(str(path), f"is not a file of scores ({first_line(error)})", BROKEN) from error


def _content_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over name, type, shape and bytes of every array."""
    return digest(
        [(name, str(a.dtype), a.shape, hashlib.sha256(a.tobytes()).hexdigest()) for name, a in sorted(arrays.items())]
    )
