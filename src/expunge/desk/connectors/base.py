"""What a connector is: settings, a search for a person, and a purge that may be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from expunge._config import FrozenModel
from expunge._registry import Registry
from expunge.desk.keys import normalize
from expunge.errors import InputError


@dataclass(frozen=True, repr=False)
class PersonIdentifier:
    """A verified identifier to search for."""

    kind: str
    value: str

    @property
    def plain(self) -> str:
        """The normalized value."""
        return normalize(self.kind, self.value)


@dataclass(frozen=True)
class FoundObject:
    """An object that may be of the person.

    Attributes:
        object_id: Names it inside the asset.
        how: By which kind of identifier it was found.
        certain: The spelling is the same; else a person decides whether it may be.
    """

    object_id: str
    how: str
    certain: bool = True


@dataclass(frozen=True)
class PurgeOutcome:
    """What a purge did, in numbers and digests; it names no object.

    Attributes:
        removed: Objects that were there and are gone.
        absent: Objects that were gone already, which is success.
        before: Digest of the place before.
        after: Digest of the place after.
        due_on: Day until which something stays, for backups and the like.
        note: What stays and why; empty if nothing does.
        notice_on: Day on which a recipient was told.
    """

    removed: int = 0
    absent: int = 0
    before: str = ""
    after: str = ""
    due_on: str | None = None
    note: str = ""
    notice_on: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class Connector(FrozenModel):
    """Base of connectors: the fields are the settings of an asset, paths relative to the desk's folder."""

    kinds: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[str] = ""
    searches: ClassVar[bool] = True

    def check(self, root: Path) -> None:
        """`InputError` if the place is not there or cannot be read."""

    def find(self, root: Path, person: Sequence[PersonIdentifier]) -> list[FoundObject]:
        """Objects that may be of the person; empty if there are none."""
        return []

    def show(self, root: Path, object_id: str) -> str:
        """The content of an object, for a person who may see it."""
        raise InputError("connector", "cannot show single objects", "look at the place itself")

    def purge(self, root: Path, objects: Sequence[str], today: str) -> PurgeOutcome:
        """Remove objects, or the whole place where it has none. A second call finds nothing left and succeeds.

        Raises:
            InputError: it could not be done; what was removed stays removed, and the next call goes on.
        """
        raise InputError("connector", "cannot remove anything", "remove it by hand, and confirm the task")


CONNECTORS: Registry[type[Connector]] = Registry("connector", "expunge.desk.connectors")


def place(root: Path, path: str) -> Path:
    """A path of settings, relative to the desk's folder."""
    return (root / Path(path).expanduser()).absolute()


def spelled(text: str, person: Iterable[PersonIdentifier]) -> FoundObject | None:
    """How a text names a person; `object_id` is left empty. None if it does not.

    Names are compared as scopes compare them (`mentions:`); other identifiers as whole words without punctuation.
    """
    from expunge.corpus.text_folding import fold
    from expunge.scope.name_text import loose_pattern, loosen, pattern

    folded = fold(text)
    perhaps = None
    for each in person:
        if each.kind == "name":
            if pattern([fold(each.value)]).search(folded):
                return FoundObject("", "name")
            if loose_pattern([fold(each.value)]).search(loosen(folded)):
                perhaps = FoundObject("", "name", certain=False)
        elif len(each.plain) >= 4 and each.plain in words_of(folded, each):
            return FoundObject("", each.kind)
    return perhaps


def words_of(folded: str, each: PersonIdentifier) -> set[str]:
    """The stretches of a text that could be this identifier: as many words as it has, normalized."""
    words = folded.split()
    size = max(1, len(each.value.split()))
    return {
        normalize(each.kind, " ".join(words[k : k + size]).strip(".,;:!?()[]\"'")) for k in range(len(words) - size + 1)
    }
