"""Names of the precisions in which a model can be loaded; torch is not needed to check one."""

from __future__ import annotations

from importlib.util import find_spec

from expunge.errors import InputError, unknown

FLOATS = ("float32", "bfloat16", "float16")
QUANTIZED = ("int8", "nf4")  # through bitsandbytes
DTYPES = ("auto", *FLOATS, *QUANTIZED)


def check_dtype(dtype: str, *, training: bool = False) -> None:
    """`InputError` for an unknown precision, one that needs a missing package, or (to train) float16."""
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if dtype in QUANTIZED and find_spec("bitsandbytes") is None:
        raise InputError(
            "dtype", f"{dtype} needs the package bitsandbytes", "pip install bitsandbytes, or use --dtype bfloat16"
        )
    if training and dtype == "float16":
        raise InputError(
            "dtype", "float16 cannot train: its gradients overflow or vanish", "use --dtype bfloat16 or float32"
        )
