"""From an image to what a model reads: the token ids that stand for it in a prompt, and its tensors.

The model's processor gives both, once per image; prompts are then assembled from ids. The first image is checked
against what the processor gives for the whole prompt, and a processor with another prompt layout is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from expunge.corpus import RecordImage
from expunge.corpus.image_ops import open_image
from expunge.errors import InputError, first_line
from expunge.models.vision.inputs import ImageInputs

TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
CACHE_BYTES = 512 << 20
TOKEN_TYPES = ("mm_token_type_ids", "token_type_ids")  # 1 where a token belongs to an image
TRIAL_PROMPT = "What is shown here?"


class VisionProcessor:
    """The processor of an image-text model, with a cache of the images encoded last.

    Args:
        processor: Of transformers.
        tokenizer: Of the model.
        source: Name of the model in messages.
        token_types: Names in `TOKEN_TYPES` that the model's forward pass takes.

    Attributes:
        token: The placeholder that stands for an image in a text.
    """

    def __init__(self, processor: Any, tokenizer: Any, source: str, token_types: Collection[str] = ()) -> None:
        self.processor, self._tokenizer, self._source, self._token_types = processor, tokenizer, source, token_types
        self.token = str(getattr(processor, "image_token", "<image>"))
        self._id = int(tokenizer.convert_tokens_to_ids(self.token))
        self._cache: OrderedDict[str, tuple[tuple[int, ...], ImageInputs]] = OrderedDict()
        self._bytes = 0
        self._checked = False

    def encode(self, image: RecordImage) -> tuple[tuple[int, ...], ImageInputs]:
        """(token ids that stand for the image in a prompt, its tensors)."""
        if image.digest in self._cache:
            self._cache.move_to_end(image.digest)
            return self._cache[image.digest]
        inputs = self._process(self.token, image)
        is_image = inputs["input_ids"] == self._id
        names = tuple(
            n for n in self._token_types if n == TOKEN_TYPES[0] or (n in inputs and bool((inputs[n] == is_image).all()))
        )
        tensors = {name: t for name, t in inputs.items() if name not in TEXT_INPUTS}
        encoded = ImageInputs(image.digest, tensors, (self._id, names))
        ids = tuple(inputs["input_ids"][0].tolist())
        if not self._checked:
            self._check(image, ids)
            self._checked = True
        self._cache[image.digest] = ids, encoded
        self._bytes += _size(encoded)
        while self._bytes > CACHE_BYTES and len(self._cache) > 1:
            self._bytes -= _size(self._cache.popitem(last=False)[1][1])
        return ids, encoded

    def insert(self, ids: tuple[int, ...], image_ids: tuple[int, ...]) -> tuple[int, ...]:
        """`ids` with their one placeholder replaced by `image_ids`."""
        at = ids.index(self._id)
        return (*ids[:at], *image_ids, *ids[at + 1 :])

    def _process(self, text: str, image: RecordImage) -> dict[str, Any]:
        from transformers.utils import logging

        logging.set_verbosity_error()
        pixels = open_image(image)
        try:
            return dict(self.processor(text=text, images=[pixels], add_special_tokens=False, return_tensors="pt"))
        except Exception as error:
            raise InputError(
                f'image "{image.name}"',
                f"the model's processor does not take it ({first_line(error)})",
                "see the model's preprocessor_config.json",
            ) from error

    def _check(self, image: RecordImage, image_ids: tuple[int, ...]) -> None:
        text = f"{self.token}{TRIAL_PROMPT}"
        whole = tuple(self._process(text, image)["input_ids"][0].tolist())
        ids = tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        if ids.count(self._id) != 1 or self.insert(ids, image_ids) != whole:
            raise InputError(
                self._source,
                "the prompt layout of its processor is not supported",
                "use a model whose prompts hold one placeholder per image",
            )


def _size(image: ImageInputs) -> int:
    return sum(t.numel() * t.element_size() for t in image.inputs.values())
