"""From a picture to what its model reads: the tokens that hold its place in a prompt, and its tensors.

The model's own processor does both, once per picture; prompts are then put together from ids. Surprising: that the
parts give what the processor gives for the whole is checked on the first picture, and a processor that lays out
prompts in another way is refused rather than guessed at.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from expunge.corpus import RecordImage
from expunge.corpus.image_ops import open_image
from expunge.errors import InputError
from expunge.models.vision.inputs import ImageInputs

TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
KEPT = 512 << 20  # bytes of tensors that are held ready
MARKS = ("mm_token_type_ids", "token_type_ids")  # 1 where a token holds the place of a picture
TRIED = "What is shown here?"


class VisionProcessor:
    """The processor of an image-text model.

    token  the placeholder that stands for a picture in a text
    takes  names in `MARKS` that the model's forward pass has
    """

    def __init__(self, processor: Any, tokenizer: Any, source: str, takes: Collection[str] = ()) -> None:
        self.processor, self._tokenizer, self._source, self._takes = processor, tokenizer, source, takes
        self.token = str(getattr(processor, "image_token", "<image>"))
        self._id = int(tokenizer.convert_tokens_to_ids(self.token))
        self._ready: OrderedDict[str, tuple[tuple[int, ...], ImageInputs]] = OrderedDict()
        self._bytes = 0
        self._checked = False

    def look(self, picture: RecordImage) -> tuple[tuple[int, ...], ImageInputs]:
        """(token ids that hold the picture's place, its tensors); the last ones looked at are held ready."""
        if picture.digest in self._ready:
            self._ready.move_to_end(picture.digest)
            return self._ready[picture.digest]
        given = self._process(self.token, picture)
        there = given["input_ids"] == self._id
        said = [n for n in self._takes if n == MARKS[0] or (n in given and bool((given[n] == there).all()))]
        sight = ImageInputs(
            picture.digest, {name: t for name, t in given.items() if name not in TEXT}, (self._id, tuple(said))
        )
        found = tuple(given["input_ids"][0].tolist()), sight
        if not self._checked:
            self._check(picture, found[0])
            self._checked = True
        self._ready[picture.digest] = found
        self._bytes += _size(sight)
        while self._bytes > KEPT and len(self._ready) > 1:
            self._bytes -= _size(self._ready.popitem(last=False)[1][1])
        return found

    def placed(self, ids: tuple[int, ...], place: tuple[int, ...]) -> tuple[int, ...]:
        """`ids` of a text with one placeholder, which becomes `place`."""
        at = ids.index(self._id)
        return (*ids[:at], *place, *ids[at + 1 :])

    def _process(self, text: str, picture: RecordImage) -> dict[str, Any]:
        from transformers.utils import logging

        logging.set_verbosity_error()
        try:
            image = open_image(picture)
            given = self.processor(text=text, images=[image], add_special_tokens=False, return_tensors="pt")
        except InputError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(
                f'picture "{picture.name}"',
                f"the model's processor does not take it ({reason})",
                "see the model's preprocessor_config.json",
            ) from error
        return dict(given)

    def _check(self, picture: RecordImage, place: tuple[int, ...]) -> None:
        whole = tuple(self._process(f"{self.token}{TRIED}", picture)["input_ids"][0].tolist())
        ids = tuple(self._tokenizer(f"{self.token}{TRIED}", add_special_tokens=False)["input_ids"])
        if ids.count(self._id) != 1 or self.placed(ids, place) != whole:
            raise InputError(
                self._source,
                "its processor lays out pictures in a way that is not known here",
                "use a model whose prompts hold one placeholder per picture",
            )


def _size(sight: ImageInputs) -> int:
    return sum(t.numel() * t.element_size() for t in sight.inputs.values())
