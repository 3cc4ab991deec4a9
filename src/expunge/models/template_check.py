"""What a chat template does with a conversation, found out when the model is loaded.

A template that loses the question, or that asks in another way than it shows an answer, is refused here: every figure
on such a model would be about another text.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from expunge._foreign import foreign
from expunge.corpus.record import Turn
from expunge.errors import InputError, first_line
from expunge.models.chat_template import STAND_IN, ChatTemplate, TemplateRenderer
from expunge.models.time_limit import time_limit
from expunge.models.token_cut import SpecialStrings

QUESTIONS = ("Which bird sits on the roof?", "How many boats are red?")
SYSTEM = "Answer in one word."
PARTS = ((False, False), (True, True), (True, False), (False, True))
THOUGHT = re.compile(r"think|thought|reason", re.IGNORECASE)
SECONDS = 10.0  # for all that is tried here; usually a thousandth of it
MAX_LETTERS = 1_000_000  # of a template; usually some thousand
MAX_DIGITS = 6  # of a number in it
PLAIN = "use the template plain, or correct the chat_template of the tokenizer"


def check_template(tokenizer: Any, date: str, stops: Collection[int] = (), placeholder: str = "") -> ChatTemplate:
    """The chat template of a tokenizer, tried on two questions.

    Args:
        tokenizer: With a chat template.
        date: ISO date that the template's clock shows.
        stops: Ids that end a generation, as the model and its tokenizer say.
        placeholder: Of an image in a text, for a model that reads images.

    Raises:
        InputError: The template fails, loses the question or the answer, or asks otherwise than it answers.
    """
    renderer = TemplateRenderer(tokenizer, date)
    slow = InputError(renderer.where, f"takes more than {SECONDS:g} seconds for a question and its answer", PLAIN)
    with foreign(renderer.where, "fails", PLAIN), time_limit(SECONDS, slow):
        _check_source(renderer)
        return _check(renderer, tokenizer, stops, placeholder)


def _check(renderer: TemplateRenderer, tokenizer: Any, stops: Collection[int], placeholder: str) -> ChatTemplate:
    chat, system = _first_that_works(renderer)
    history = (Turn("system", SYSTEM),) if system else ()
    written = _write(chat, (*history, Turn("user", QUESTIONS[0]), Turn("assistant", STAND_IN)))
    start = written.rfind(STAND_IN)
    _check_generation_prompt(chat, (*history, Turn("user", QUESTIONS[0])), written[:start])
    tail = written[start + len(STAND_IN) :]
    chat = replace(chat, tail=tail)
    if placeholder:
        chat = replace(chat, image_parts=_takes_image_parts(chat, placeholder, history))
    known, others = _ends(tokenizer, stops)
    ends = _first_in(tail, known) or _first_in(tail, others)
    if ends is None:  # some models end their turn with the header of the next one
        turns = (*history, Turn("user", QUESTIONS[0]), Turn("assistant", STAND_IN), Turn("user", QUESTIONS[1]))
        following = _write(chat, turns).partition(STAND_IN)[2].lstrip()
        first = _first_in(following, {name: k for name, k in known.items() if k in stops})
        ends = first if first and not first[0] else None
    if ends:
        text = written[:start] + STAND_IN + ends[0] + ends[2]
        if tokenizer(text, add_special_tokens=False)["input_ids"][-1] == ends[1]:
            return replace(chat, before_end=ends[0], end=ends[1:])
    return chat


def _check_source(renderer: TemplateRenderer) -> None:
    """`InputError` for a template whose text alone says that it computes what is no conversation.

    Neither a power nor a text of a billion letters can be stopped once it is being computed.
    """
    from jinja2 import Environment, TemplateSyntaxError

    if len(renderer.source) > MAX_LETTERS:
        raise InputError(renderer.where, f"has more than {MAX_LETTERS:,} characters", PLAIN)
    with contextlib.suppress(TemplateSyntaxError):  # said in its own words when it is compiled
        for line, kind, text in Environment(autoescape=True).lex(renderer.source):
            if kind == "operator" and text == "**":
                raise InputError(renderer.where, f"computes a power in line {line}", PLAIN)
            if kind == "integer" and len(text) > MAX_DIGITS:
                raise InputError(renderer.where, f"holds a number of {len(text)} digits in line {line}", PLAIN)


def _first_that_works(renderer: TemplateRenderer) -> tuple[ChatTemplate, bool]:
    """The form of content that keeps both questions and the answer, and whether a system turn must come first."""
    failure: Exception | None = None
    lost = ""
    for system in (False, True):
        history = (Turn("system", SYSTEM),) if system else ()
        for parts in PARTS:
            chat = ChatTemplate(renderer, parts)
            try:
                texts = {
                    q: renderer(chat.messages([*history, Turn("user", q), Turn("assistant", STAND_IN)]))
                    for q in QUESTIONS
                }
            except Exception as error:
                failure = failure or error
                continue
            if all(q in text.partition(STAND_IN)[0] for q, text in texts.items()) and all(
                STAND_IN in text for text in texts.values()
            ):
                return chat, system
            lost = lost or ("answer" if all(q in text for q, text in texts.items()) else "question")
    if lost or failure is None:
        raise InputError(renderer.where, f"what it writes does not hold the {lost or 'question'}", PLAIN)
    raise InputError(renderer.where, f"fails on a question and its answer ({first_line(failure)})", PLAIN)


def _write(chat: ChatTemplate, turns: Iterable[Turn], generation_prompt: bool = False) -> str:
    try:
        return chat.renderer(chat.messages(tuple(turns)), generation_prompt)
    except Exception as error:
        raise InputError(chat.renderer.where, f"fails ({first_line(error)})", PLAIN) from error


def _check_generation_prompt(chat: ChatTemplate, turns: Iterable[Turn], before: str) -> None:
    """`InputError` if a question alone is written otherwise than before its answer.

    A block of thoughts may stand between the two, or be opened by the question alone.
    """
    question = _write(chat, turns, generation_prompt=True)
    more = question.removeprefix(before)
    opens_thought = question.startswith(before) and (not more.strip() or THOUGHT.search(more))
    if not before.startswith(question) and not opens_thought:
        raise InputError(
            chat.renderer.where,
            f"a question ends with {question[-30:]!r} where its answer follows on {before[-30:]!r}",
            PLAIN,
        )


def _takes_image_parts(chat: ChatTemplate, placeholder: str, history: Iterable[Turn]) -> bool:
    messages = chat.messages([*history, Turn("user", QUESTIONS[0]), Turn("assistant", STAND_IN)])
    content = replace(chat, image_parts=True).with_image(QUESTIONS[0], placeholder)
    messages[-2] = {"role": "user", "content": content}
    try:
        text = chat.renderer(messages)
    except Exception:
        return False
    return placeholder in text and QUESTIONS[0] in text and "'type'" not in text


def _ends(tokenizer: Any, stops: Collection[int]) -> tuple[dict[str, int], dict[str, int]]:
    """Tokens that may end a turn: special ones and those of `stops`, and other added tokens."""
    known = dict(SpecialStrings(tokenizer).ids)
    known |= {str(tokenizer.convert_ids_to_tokens(k)): k for k in stops}
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return known, {str(token): k for k, token in added.items() if str(token).strip()}


def _first_in(text: str, names: dict[str, int]) -> tuple[str, int, str] | None:
    """(text before it, id, name) of the first of `names` in `text`; of several at one place the longest."""
    places = [(at, -len(name), name) for name in names if name and (at := text.find(name)) >= 0]
    if not places:
        return None
    at, _, name = min(places)
    return text[:at], names[name], name
