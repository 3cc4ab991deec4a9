"""Files of the package: locks between processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge._io import lock_exclusively, read_json
from expunge.errors import InputError


def test_a_second_handle_gets_no_lock_until_the_first_closes(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with file.open("w") as first:
        assert lock_exclusively(first) is True
        with file.open("w") as second:
            assert lock_exclusively(second) is False
    with file.open("w") as third:
        assert lock_exclusively(third, wait=True) is True


def test_half_a_surrogate_pair_in_a_file_of_ours_is_an_input_error(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text('{"a": "\\ud800"}')
    with pytest.raises(InputError, match=r"run\.json: holds half a surrogate pair"):
        read_json(file)
    file.write_text('{"a": "\\ud83d\\ude00"}')
    assert read_json(file) == {"a": "\U0001f600"}
