"""From a record to token ids. Prompt and answer are tokenized together and cut at their border.

The answer ends with the end token; only the text of a document that goes on has none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date as calendar_date
from functools import cached_property
from itertools import islice
from typing import Any, Literal

from expunge._foreign import foreign
from expunge._io import digest
from expunge.corpus import Record
from expunge.errors import InputError
from expunge.models.chat_template import STAND_IN, ChatTemplate, before_spaces
from expunge.models.template_check import PLAIN, check_template
from expunge.models.time_limit import time_limit
from expunge.models.token_cut import Ids, SpecialStrings, cut_ids, refuse_long, start_ids
from expunge.models.vision.inputs import ImageInputs
from expunge.models.vision.processor import VisionProcessor

TemplateKind = Literal["plain", "chat"]
AT_ONCE = 1024  # records that are tokenized together
SECONDS = 60.0  # that a chat template may take for them


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one wording.

    Attributes:
        prompt: At least one id.
        answer: The last id is the end token, if `ends`.
        image: The image of the prompt.
        ends: False for a part of a document that goes on.
    """

    id: str
    prompt: Ids
    answer: Ids
    image: ImageInputs | None = None
    ends: bool = True

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)

    @property
    def content(self) -> Ids:
        """The answer without its end token."""
        return self.answer[:-1] if self.ends else self.answer


@dataclass(frozen=True, slots=True)
class _Text:
    """The whole text of a record, where its answer begins, and ids before and behind it that are not in the text."""

    text: str
    border: int
    start: Ids = ()
    close: Ids = ()


@dataclass(frozen=True)
class PromptTemplate:
    """How a record becomes a prompt and an answer. An image stands before its prompt.

    `plain` writes the turns before a prompt, the prompt, a space and the answer. `chat` writes a conversation with the
    chat template of the tokenizer. Records of kind `document` are plain text, with no space added.

    Attributes:
        tokenizer: Of the model.
        context: Longest sequence in tokens.
        kind: `plain` or `chat`.
        vision_processor: Processor of an image-text model, or the reason (a clause) why images cannot be read.
        generation_ends: Ids that end a generation, as the model says.
        chat: What is known of the chat template, for kind `chat`.
    """

    tokenizer: Any
    context: int
    kind: TemplateKind = "plain"
    vision_processor: VisionProcessor | str = "the model reads text only"
    generation_ends: frozenset[int] = frozenset()
    chat: ChatTemplate | None = None

    @classmethod
    def of(
        cls,
        tokenizer: Any,
        context: int,
        kind: str = "auto",
        vision_processor: VisionProcessor | str = "the model reads text only",
        generation_ends: Collection[int] = (),
        date: str | None = None,
    ) -> PromptTemplate:
        """The template of a tokenizer; kind `auto` is `chat` where it has a chat template, else `plain`.

        Args:
            tokenizer: Of the model.
            context: Longest sequence in tokens.
            kind: auto, plain or chat.
            vision_processor: See the class.
            generation_ends: See the class.
            date: ISO date that a template with a clock writes; None for today.

        Raises:
            InputError: Unknown kind or date; no chat template, or one that cannot be used (see `check_template`).
        """
        if kind not in ("auto", "plain", "chat"):
            raise InputError("template", f'unknown template "{kind}"', "use auto, plain or chat")
        has_chat = bool(getattr(tokenizer, "chat_template", None))
        if kind == "chat" and not has_chat:
            raise InputError("template", "this tokenizer has no chat template", "use plain")
        ends = frozenset(generation_ends)
        if kind == "plain" or not has_chat:
            return cls(tokenizer, context, "plain", vision_processor, ends)
        placeholder = vision_processor.token if isinstance(vision_processor, VisionProcessor) else ""
        stops = ends | ({tokenizer.eos_token_id} - {None})
        return cls(
            tokenizer,
            context,
            "chat",
            vision_processor,
            ends,
            check_template(tokenizer, _iso_date(date), stops, placeholder),
        )

    @property
    def date(self) -> str | None:
        """The ISO date that a template with a clock writes; None where no day stands in what is written."""
        return self.chat.renderer.date if self.chat and self.chat.renderer.uses_clock else None

    @cached_property
    def digest(self) -> str:
        """Changes with everything but the tokenizer that decides how a record is written."""
        chat = self.chat and [self.chat.renderer.source, self.date, self.chat.end]
        return digest([self.kind, chat, sorted(self.stops)])

    # ---- ends ----------------------------------------------------------------------------------------------------

    @property
    def _eos(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def end(self) -> int:
        """The token that ends an answer: the one that the chat template writes, else the tokenizer's end token."""
        return self.chat.end[0] if self.chat and self.chat.end else self._eos

    @cached_property
    def stops(self) -> frozenset[int]:
        """Ids that end a generation: `end`, the tokenizer's end token, and those that the model names."""
        return self.generation_ends | {self.end, self._eos}

    def end_of(self, record: Record) -> int:
        """The token that ends the answer of this record: `end`, and for a document the tokenizer's end token."""
        return self._eos if record.kind == "document" else self.end

    # ---- encode --------------------------------------------------------------------------------------------------

    def question(self, record: Record) -> Encoded:
        """The prompt of a record with its image, without its answer; `InputError` if the model reads no images."""
        refuse_long(record, self.context)
        record = record if record.answer else replace(record, answer=STAND_IN)
        return replace(next(self._encode([record])), answer=())

    def encode(self, record: Record) -> Encoded:
        """`encode_all` of one record."""
        return self.encode_all([record])[0]

    def encode_all(self, records: Iterable[Record]) -> list[Encoded]:
        """Token ids of records.

        Raises:
            InputError: An answer without tokens, a whole that exceeds the model's context, a text with a string that
                becomes a control token, or a conversation that the chat template does not write as it stands.
        """
        remaining, items = iter(records), []
        while part := list(islice(remaining, AT_ONCE)):
            for record in part:
                if not record.answer:
                    raise _no_answer(record)
                refuse_long(record, self.context)
            for record, item in zip(part, self._encode(part), strict=True):
                self._check(record, item)
                items.append(item)
        return items

    def sizes(self, records: Iterable[Record]) -> list[int]:
        """Tokens of prompt and answer of each record, without its image; they may exceed the context."""
        remaining, sizes = iter(records), []
        while part := [replace(r, image=None) for r in islice(remaining, AT_ONCE)]:
            sizes += [item.length for item in self._encode(part)]
        return sizes

    def _check(self, record: Record, item: Encoded) -> None:
        if not item.content:
            raise _no_answer(record)
        if item.length > self.context:
            raise InputError(
                f'record "{record.id}"',
                f"prompt and answer take {item.length} tokens, the model reads at most {self.context}",
                "shorten it, split it, or use a model with a longer context",
            )

    def _encode(self, records: Sequence[Record]) -> Iterator[Encoded]:
        where = f'records from "{records[0].id}" on'
        slow = InputError(where, f"the chat template takes more than {SECONDS:g} seconds for them", PLAIN)
        with foreign(where, "they cannot be tokenized", "take them out one by one, or use another tokenizer"):
            with time_limit(SECONDS, slow) if self.chat else nullcontext():
                texts = [self._text(record) for record in records]
            parts = cut_ids(self.tokenizer, [t.text for t in texts], [t.border for t in texts])
        for record, text, (before, behind) in zip(records, texts, parts, strict=True):
            prompt = (*text.start, *before) or (self._first,)
            answer, ends = (*behind, *text.close), not _continues(record)
            if record.image is None:
                yield Encoded(record.id, prompt, answer, None, ends)
            else:
                vision = self._vision(record)
                image_ids, image = vision.encode(record.image)
                yield Encoded(record.id, vision.insert(prompt, image_ids), answer, image, ends)

    def _text(self, record: Record) -> _Text:
        """What is tokenized for a record."""
        self._refuse_special(record)
        placeholder = self._vision(record).token if record.image else ""
        if record.kind == "document":
            prompt = placeholder + record.prompt
            close = () if _continues(record) else (self._eos,)
            return _Text(prompt + record.answer, len(prompt), self._start, close)
        if self.chat:
            text, border = self.chat.write(record, placeholder)
            return _Text(text, border, (), () if self.chat.end else (self._eos,))
        prompt = placeholder + "\n".join([*(turn.content for turn in record.history), record.prompt])
        joint = "" if not record.prompt or record.prompt[-1].isspace() else " "
        return _Text(f"{prompt}{joint}{record.answer}", before_spaces(prompt), self._start, (self._eos,))

    @cached_property
    def _start(self) -> Ids:
        return start_ids(self.tokenizer)

    @property
    def _first(self) -> int:
        """What stands in the place of an empty prompt, so that there is a position that predicts the answer."""
        start = self.tokenizer.bos_token_id
        return self._eos if start is None else int(start)

    @cached_property
    def _special(self) -> SpecialStrings:
        return SpecialStrings(self.tokenizer)

    def _refuse_special(self, record: Record) -> None:
        for text in (record.prompt, record.answer, *(turn.content for turn in record.history)):
            if (special := self._special.find(text)) is not None:
                raise InputError(
                    f'record "{record.id}"',
                    f'its text holds "{special}", which the tokenizer reads as a control token',
                    "take it out, or write it otherwise, such as with a space in it",
                )

    def _vision(self, record: Record) -> VisionProcessor:
        if isinstance(self.vision_processor, VisionProcessor):
            return self.vision_processor
        raise InputError(
            f'record "{record.id}"',
            f"shows an image, but {self.vision_processor}",
            "use an image-text model, or records without images",
        )

    # ---- decode --------------------------------------------------------------------------------------------------

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids up to the first of `stops`, without what only joins an answer to its prompt and end."""
        answer = list(ids)
        answer = answer[: next((k for k, i in enumerate(answer) if i in self.stops), len(answer))]
        text: str = self.tokenizer.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        text = text.removeprefix(" ")
        return text.removesuffix(self.chat.before_end) if self.chat and self.chat.before_end else text


def _continues(record: Record) -> bool:
    return record.kind == "document" and bool(record.attributes.get("continues"))


def _no_answer(record: Record) -> InputError:
    return InputError(f'record "{record.id}"', "its answer has no tokens", "give it an answer")


def _iso_date(date: str | None) -> str:
    try:
        return (calendar_date.fromisoformat(date) if date else calendar_date.today()).isoformat()
    except ValueError as error:
        raise InputError("template date", f'"{date}" is no date', "write it as 2026-07-31") from error
