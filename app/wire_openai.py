"""The bodies of the OpenAI-compatible routes.

Clients send many fields that have no meaning here (temperature, tools, seed); they are accepted and
ignored, so these models do not forbid what they do not name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from app.wire import TURN_CHARS, Text


class Lenient(BaseModel):
    """The parent of what OpenAI clients send."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class TextPart(Lenient):
    """One part of a message's content. Parts that are not text (pictures, audio) are refused by the route."""

    type: Annotated[str, Field(max_length=64)]
    text: Annotated[Text, Field(max_length=TURN_CHARS * 10)] | None = None


class Message(Lenient):
    """One message of the conversation."""

    role: Annotated[str, Field(max_length=64)]
    content: (
        Annotated[Text, Field(max_length=TURN_CHARS * 10)]
        | Annotated[tuple[TextPart, ...], Field(max_length=100)]
        | None
    ) = None

    @property
    def text(self) -> str:
        """The message's text, whichever of the two shapes it was sent in."""
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if part.text)


class StreamOptions(Lenient):
    """What a stream shall hold besides the answer."""

    include_usage: StrictBool = False


class ChatIn(Lenient):
    """A conversation whose last message is the question."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "metier",
                    "messages": [{"role": "user", "content": "How many days of paid leave do we have?"}],
                    "stream": False,
                }
            ]
        }
    )

    model: Annotated[Text, Field(max_length=255)]
    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=500)]
    stream: StrictBool | None = False
    stream_options: StreamOptions | None = None
    n: StrictInt | None = Field(None, ge=1, le=128, description="Only 1 is possible.")


class Usage(BaseModel):
    """Estimated tokens: four characters each, because generators count differently and the reader not at all."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ReplyMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    """The only choice."""

    index: int = 0
    message: ReplyMessage
    finish_reason: Literal["stop", "length"]


class ChatOut(BaseModel):
    """The answer with its sources listed below it; ``metier`` holds the same for programs."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    metier: dict[str, Any] = Field(description="answer_id, citations, confidence, abstained: as in POST /v1/ask.")


class Model(BaseModel):
    """A specialist, as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "metier"


class Models(BaseModel):
    """All specialists, as models."""

    object: Literal["list"] = "list"
    data: tuple[Model, ...]
