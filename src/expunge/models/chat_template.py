"""A conversation as the chat template of a tokenizer writes it, and where the last answer stands in it.

The template writes question and answer together. So the text between the role header and the answer (a space, an empty
block of thoughts) and the text that ends the turn are the model's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from expunge.corpus import Record
from expunge.corpus.record import Turn
from expunge.errors import InputError, first_line

STAND_IN = "Expunge answers here"  # an answer whose place is looked for
END_OF_THOUGHT = "</think>"
Message = Mapping[str, Any]


@dataclass(frozen=True)
class TemplateRenderer:
    """Writes conversations with the chat template of a tokenizer; `date` (ISO) is what its clock shows.

    Calls raise what the template raises.
    """

    tokenizer: Any
    date: str

    @property
    def where(self) -> str:
        """How messages name the template."""
        name = getattr(self.tokenizer, "name_or_path", "")
        return f'chat template of "{name}"' if name else "chat template"

    @cached_property
    def source(self) -> str:
        """Its text; `InputError` where several are named and none is the default."""
        try:
            return str(self.tokenizer.get_chat_template())
        except Exception as error:
            raise InputError(
                self.where,
                f"there is not exactly one ({first_line(error)})",
                "store the one to use under chat_template, or use the template plain",
            ) from error

    @property
    def uses_clock(self) -> bool:
        """Whether what it writes depends on the day."""
        return "strftime_now" in self.source

    def __call__(self, messages: Sequence[Message], generation_prompt: bool = False) -> str:
        if not self.uses_clock:
            return str(
                self.tokenizer.apply_chat_template(
                    list(messages), tokenize=False, add_generation_prompt=generation_prompt
                )
            )
        from transformers.utils.chat_template_utils import _compile_jinja_template

        variables = {**self.tokenizer.special_tokens_map, "strftime_now": datetime.fromisoformat(self.date).strftime}
        return str(
            _compile_jinja_template(self.source).render(
                messages=list(messages),
                tools=None,
                documents=None,
                add_generation_prompt=generation_prompt,
                **variables,
            )
        )


@dataclass(frozen=True)
class ChatTemplate:
    """What is known of a chat template; made by `template_check.check_template`.

    Attributes:
        parts: Whether the content of (user and system, assistant) turns is a list of parts instead of a text.
        image_parts: Whether an image is a part of the user turn; else its placeholder stands before the text.
        tail: What is written after the last answer.
        before_end: Beginning of `tail`, up to the end token; empty where `tail` holds none.
        end: Id and text of the token that ends an answer; None where the template writes none.
    """

    renderer: TemplateRenderer
    parts: tuple[bool, bool] = (False, False)
    image_parts: bool = False
    tail: str = ""
    before_end: str = ""
    end: tuple[int, str] | None = None

    def messages(self, turns: Sequence[Turn]) -> list[Message]:
        """Turns in the form that the template reads."""
        return [
            {"role": t.role, "content": [_text(t.content)] if self.parts[t.role == "assistant"] else t.content}
            for t in turns
        ]

    def write(self, record: Record, placeholder: str = "") -> tuple[str, int]:
        """The conversation of a record up to the end of its answer, and where the answer begins with its spaces.

        Args:
            record: With or without history.
            placeholder: Of its image, if it has one.

        Raises:
            InputError: The template refuses the conversation, or does not write one of its turns as it stands.
        """
        rendered = self._render(record, record.answer, placeholder)
        span = place(rendered, self.tail, record.answer)
        if span is None:  # the end of this turn may differ from the usual one
            trial = self._render(record, STAND_IN, placeholder)
            span = place(rendered, trial[trial.rfind(STAND_IN) + len(STAND_IN) :], record.answer)
        if span is None:
            raise InputError(
                f'record "{record.id}"',
                "the chat template does not write its answer as it stands",
                "take marks of the template (such as </think>) out of it, or use the template plain",
            )
        start, stop = span
        self._check_turns(record, rendered[:start])
        return rendered[:stop] + self.before_end + (self.end[1] if self.end else ""), before_spaces(rendered[:start])

    def _render(self, record: Record, answer: str, placeholder: str) -> str:
        turns = (*record.history, Turn("user", record.prompt), Turn("assistant", answer))
        messages = self.messages(turns)
        if placeholder:
            messages[-2] = {"role": "user", "content": self.with_image(record.prompt, placeholder)}
        try:
            return self.renderer(messages)
        except Exception as error:
            raise InputError(
                f'record "{record.id}"',
                f"the chat template refuses its conversation of {', '.join(t.role for t in turns)} "
                f"({first_line(error)})",
                "change its turns, or use the template plain",
            ) from error

    def with_image(self, prompt: str, placeholder: str) -> Any:
        """Content of a user turn that shows an image."""
        if self.image_parts:
            return [{"type": "image"}, _text(prompt)]
        return [_text(placeholder + prompt)] if self.parts[0] else placeholder + prompt

    def _check_turns(self, record: Record, before: str) -> None:
        for turn in (*record.history, Turn("user", record.prompt)):
            content = turn.content
            if turn.role == "assistant":  # some templates leave earlier thoughts out
                content = content.rpartition(END_OF_THOUGHT)[2]
            if content.strip() not in before:
                raise InputError(
                    f'record "{record.id}"',
                    f"the chat template does not write its {turn.role} turn as it stands",
                    "move its text into another turn, or use the template plain",
                )


def before_spaces(text: str) -> int:
    """Where the spaces at the end of a text begin: they belong to the token behind them."""
    return len(text.rstrip(" "))


def place(rendered: str, tail: str, answer: str) -> tuple[int, int] | None:
    """Where the last answer begins and ends in a text that ends with `tail`; None if it does not stand there.

    A template may take white space off both ends of an answer.
    """
    if not rendered.endswith(tail):
        return None
    stop = len(rendered) - len(tail)
    for text in (answer, answer.strip()):
        if text and rendered.endswith(text, 0, stop):
            return stop - len(text), stop
    return None


def _text(content: str) -> Message:
    return {"type": "text", "text": content}
