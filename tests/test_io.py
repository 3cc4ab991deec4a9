"""Files of the package: locks between processes."""

from __future__ import annotations

from pathlib import Path

from expunge._io import lock_exclusively


def test_a_second_handle_gets_no_lock_until_the_first_closes(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with file.open("w") as first:
        assert lock_exclusively(first) is True
        with file.open("w") as second:
            assert lock_exclusively(second) is False
    with file.open("w") as third:
        assert lock_exclusively(third, wait=True) is True
