"""From a record to token ids. Prompt and answer are tokenized apart, so that the border between them is exact.

The answer always ends with the end token.
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
    """Token ids of one wording. The last id of `answer` is the end token; `image` is the image of its prompt."""

    id: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    image: ImageInputs | None = None

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class PromptTemplate:
    """How a record becomes a prompt and an answer. An image stands before its prompt.

    Attributes:
        tokenizer: Of the model.
        context: Longest sequence in tokens.
        kind: `plain` (prompt, a space, answer) or `chat` (the tokenizer's chat template with one user turn).
        vision_processor: Processor of an image-text model, or the reason (a clause) why images cannot be read.
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
        """The template of a tokenizer; kind `auto` is `chat` where it has a chat template, else `plain`."""
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

    def prompt_ids(self, prompt: str, placeholder: str = "") -> tuple[int, ...]:
        """Ids of a prompt, after the `placeholder` of an image if there is one.

        An empty prompt becomes the start (or end) token, so that there is a position that predicts the answer.
        """
        if self.kind == "chat":
            content: Any = [{"type": "image"}, {"type": "text", "text": prompt}] if placeholder else prompt
            text = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
            return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        prompt = placeholder + prompt
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
        """The prompt of a record with its image, without an answer; `InputError` if the model reads no images."""
        if record.image is None:
            return Encoded(record.id, self.prompt_ids(record.prompt), ())
        vision = self.vision_processor
        if isinstance(vision, str):
            raise InputError(
                f'record "{record.id}"',
                f"shows an image, but {vision}",
                "use an image-text model, or records without images",
            )
        image_ids, image = vision.encode(record.image)
        ids = vision.insert(self.prompt_ids(record.prompt, vision.token), image_ids)
        return Encoded(record.id, ids, (), image)

    def encode(self, record: Record) -> Encoded:
        """Token ids of a record; `InputError` if the answer has none or the whole exceeds the model's context."""
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
        """Text of generated ids up to the end token, without the joining space."""
        answer = list(ids)
        if self.eos in answer:
            answer = answer[: answer.index(self.eos)]
        text: str = self.tokenizer.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.removeprefix(" ")
