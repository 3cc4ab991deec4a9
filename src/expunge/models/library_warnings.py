"""Warnings that libraries log while a model is loaded: what may change its meaning reaches the user as one line.

Each kind that is left out either has a check of our own in its place, or says nothing about the model.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from expunge.errors import InputWarning

LEFT_OUT = re.compile(
    r"LOAD REPORT"  # the names of missing and unexpected weights: `weight_check.check_keys`
    r"|not initialized from the model checkpoint|were not used when initializing"  # the same in other words
    r"|adapter keys|ignore_mismatched_sizes"  # `adapter_folder.attach`, `weight_check.check_keys`
    r"|requires? (?:you )?to execute|trust_remote_code"  # no code of a model is executed: an error follows
    r"|deprecat|generation flags|fast path|not the optimal|falling back to .* backend|use_fast|slow (?:image )?process"
    r"|is fastest|unauthenticated|HF_TOKEN",
    re.IGNORECASE,
)
LIBRARIES = ("transformers", "peft")


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.lines[record.getMessage()] = None


@contextmanager
def library_warnings(source: str) -> Iterator[None]:
    """Inside, what transformers and peft warn of is collected; behind it, each is an `InputWarning` about `source`."""
    collector = _Collector()
    states = []
    for logger in map(logging.getLogger, LIBRARIES):
        states.append((logger, logger.level, logger.propagate, list(logger.handlers)))
        logger.handlers[:], logger.propagate = [collector], False
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("ignore")
            for kind in (UserWarning, RuntimeWarning):
                warnings.simplefilter("always", kind)
            yield
    finally:
        for logger, level, propagate, handlers in states:
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
    for each in given:
        if isinstance(each.message, InputWarning):
            warnings.warn(each.message, stacklevel=3)
        else:
            collector.lines[str(each.message)] = None
    for line in collector.lines:
        text = " ".join(line.split())
        if text and not LEFT_OUT.search(text):
            warnings.warn(InputWarning(f"{source}: a library warns: {text}"), stacklevel=3)
