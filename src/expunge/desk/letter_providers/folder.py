"""Hands letters to a print-and-post service that watches a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from expunge._io import sync, write_atomic
from expunge.desk.connectors.base import place
from expunge.desk.letter_providers.base import LETTER_PROVIDERS, LetterNotTaken, LetterProvider, OutgoingLetter
from expunge.errors import InputError


@LETTER_PROVIDERS.register("folder")
class HotFolder(LetterProvider):
    """Two files for each letter, named by its id: the address, and then the page. Each appears whole, by a rename."""

    about: ClassVar[str] = "files for a print-and-post service"
    address_kind: ClassVar[str] = "address"
    path: str = Field(min_length=1, description="folder that the service watches, outside the desk's folder")
    group_can_read: bool = Field(False, description="the group of the desk's user can read the files too")

    def check(self, root: Path) -> None:
        """`InputError` if the folder is not there, or lies in that of the desk."""
        folder = place(root, self.path).resolve()
        if folder.is_relative_to(root.resolve()):
            raise InputError("letters.provider_settings.path", "lies in the desk's folder", "choose another place")
        if not folder.is_dir():
            raise InputError("letters.provider_settings.path", "is no folder", "make it, or mount the share")

    def send(self, root: Path, letter: OutgoingLetter) -> str:
        """Write both files; a repeat writes the same ones."""
        folder = place(root, self.path)
        about = {
            "letter": letter.key,
            "reference": letter.reference,
            "language": letter.language,
            "address_kind": self.address_kind,
            "address": letter.address,
        }
        try:
            self.check(root)
            self._write(folder / f"{letter.key}.json", json.dumps(about, ensure_ascii=False, indent=2) + "\n")
            self._write(folder / f"{letter.key}.html", letter.html)
        except (InputError, OSError) as error:
            raise LetterNotTaken("the folder of the service is not there or full", for_all=True) from error
        return "written into the folder of the service"

    def _write(self, file: Path, text: str) -> None:
        part = write_atomic(file.with_name(f".{file.name}.new"), text, private=True)
        if self.group_can_read:
            part.chmod(0o640)
        part.replace(file)
        sync(file.parent)
