"""From a record to tokens. Prompt and answer are tokenised apart, so the border between them is exact.

The answer always ends with the end token, known by construction and never searched for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from expunge.corpus import Record
from expunge.errors import InputError
from expunge.models.vision.inputs import ImageInputs
from expunge.models.vision.processor import VisionProcessor

TemplateKind = Literal["plain", "chat"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one wording. `answer` includes the end token as its last id; `image`: the picture of its prompt."""

    id: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    image: ImageInputs | None = None

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class PromptTemplate:
    """`plain`: prompt, a space, answer. `chat`: the tokenizer's own chat template with one user turn.

    A picture stands in front of its prompt. `vision_processor`: what reads pictures; a reason (a clause) where nothing does.
    """

    tokenizer: Any
    context: int
    kind: TemplateKind = "plain"
    vision_processor: VisionProcessor | str = "the model reads text only"

    @classmethod
    def of(
        cls,
        tokenizer: Any,
        context: int,
        kind: str = "auto",
        vision_processor: VisionProcessor | str = "the model reads text only",
    ) -> PromptTemplate:
        """Choose `chat` where the tokenizer brings a chat template, unless told otherwise."""
        if kind not in ("auto", "plain", "chat"):
            raise InputError("template", f'unknown template "{kind}"', "use auto, plain or chat")
        has_chat = bool(getattr(tokenizer, "chat_template", None))
        if kind == "chat" and not has_chat:
            raise InputError("template", "this tokenizer has no chat template", "use plain")
        chat = has_chat if kind == "auto" else kind == "chat"
        return cls(tokenizer, context, "chat" if chat else "plain", vision_processor)

    @property
    def eos(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def prompt_ids(self, prompt: str, shown: str = "") -> tuple[int, ...]:
        """Ids of a prompt; an empty one becomes the start (or end) token, so that there is a first position.

        shown  the placeholder of a picture, which stands in the ids where the picture does
        """
        if self.kind == "chat":
            content: Any = [{"type": "image"}, {"type": "text", "text": prompt}] if shown else prompt
            text = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
            return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        prompt = shown + prompt
        ids = tuple(self.tokenizer(prompt)["input_ids"]) if prompt else ()
        if ids and ids[-1] == self.eos == self.tokenizer("x")["input_ids"][-1]:  # some tokenizers close every text
            ids = ids[:-1]
        start = self.tokenizer.bos_token_id
        return ids or (self.eos if start is None else int(start),)

    def answer_ids(self, answer: str, prompt: str = "x") -> tuple[int, ...]:
        """Ids of an answer and the end token. A space joins it to a prompt that does not end in one."""
        joined = answer if self.kind == "chat" or not prompt or prompt[-1].isspace() else f" {answer}"
        return (*self.tokenizer(joined, add_special_tokens=False)["input_ids"], self.eos)

    def question(self, record: Record) -> Encoded:
        """The prompt of a record with its picture, without an answer; `InputError` if the model reads no pictures."""
        if record.image is None:
            return Encoded(record.id, self.prompt_ids(record.prompt), ())
        if isinstance(self.vision_processor, str):
            raise InputError(
                f'record "{record.id}"',
                f"shows a picture, but {self.vision_processor}",
                "use an image-text model, or records without pictures",
            )
        place, sight = self.vision_processor.encode(record.image)
        return Encoded(
            record.id,
            self.vision_processor.insert(self.prompt_ids(record.prompt, self.vision_processor.token), place),
            (),
            sight,
        )

    def encode(self, record: Record) -> Encoded:
        """Tokens of a record; `InputError` if the answer has none or the whole exceeds the model's context."""
        item = replace(self.question(record), answer=self.answer_ids(record.answer, record.prompt))
        if not record.answer or len(item.answer) < 2:
            raise InputError(f'record "{record.id}"', "its answer has no tokens", "give it an answer")
        if item.length > self.context:
            raise InputError(
                f'record "{record.id}"',
                f"prompt and answer take {item.length} tokens, the model reads at most {self.context}",
                "shorten it, split it, or use a model with a longer context",
            )
        return item

    def encode_all(self, records: Iterable[Record]) -> list[Encoded]:
        return [self.encode(r) for r in records]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, cut at the end token, without the joining space."""
        kept = list(ids)
        if self.eos in kept:
            kept = kept[: kept.index(self.eos)]
        text: str = self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.removeprefix(" ")
