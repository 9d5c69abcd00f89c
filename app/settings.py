"""The serving package's settings: those of indexing, and what a question needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, model_validator

from indexing.settings import IndexingSettings, PositiveFloat, PositiveInt

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
#: No question_chars may be higher: this is the bound in the description of the interface.
QUESTION_CHARS_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Registration:
    """An identity provider, and what it knows this server by."""

    issuer: str
    client_id: str
    client_secret: str


class AppSettings(IndexingSettings):
    """All settings of the program."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; anything but loopback needs an API token or an identity provider.",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="Port to listen on.")
    api_token: SecretStr | None = Field(
        None, min_length=1, description="Token that REST clients must send as a bearer token."
    )
    public_url: str | None = Field(None, description="Address at which browsers reach this server, for signing in.")
    identity_provider: SecretStr | None = Field(
        None,
        description="Where people sign in (OpenID Connect), as https://client-id:client-secret@address; "
        "special characters as %40.",
    )
    generator: Literal["reader", "transformers", "openai"] = Field(
        "reader",
        description="reader (built in, quotes the documents), transformers (in process) or openai (a server).",
    )
    generator_model: str | None = Field(
        None, description="Model of the generator: a local directory or hub name, or the server's model name."
    )
    generator_url: str | None = Field(None, description="Base URL of an OpenAI-compatible server, up to /v1.")
    generator_api_key: SecretStr | None = Field(None, min_length=1, description="Key for that server.")
    generator_queue: PositiveInt = Field(8, description="Questions that may wait for the generator; more get 503.")
    context_tokens: PositiveInt = Field(4096, description="Most tokens of a prompt.")
    answer_tokens: PositiveInt = Field(400, description="Most tokens of an answer.")
    first_token_timeout_s: PositiveFloat = Field(60, description="Longest wait for the generator's first token.")
    answer_timeout_s: PositiveFloat = Field(180, description="Longest time for one answer.")
    top_k: Annotated[int, Field(ge=1, le=50)] = Field(8, description="Passages that an answer may use.")
    question_chars: Annotated[int, Field(gt=0, le=QUESTION_CHARS_MOST)] = Field(4000, description="Longest question.")
    answers_kept_days: Annotated[int, Field(ge=0)] | Literal["forever"] = Field(
        30, description="Days that questions, answers and feedback are kept; 0 stores none; forever keeps all."
    )
    audit_kept_days: PositiveInt | Literal["forever"] = Field(
        365, description="Days that lines of the audit log are kept; forever keeps all."
    )
    requests_per_minute: PositiveInt | None = Field(
        None, description="Most requests of one principal in a minute; more get 429. Unset: no limit."
    )
    answers_at_once: PositiveInt | None = Field(
        None, description="Most answers made for one principal at the same time; more get 429. Unset: no limit."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")

    @property
    def is_open(self) -> bool:
        """Whether whoever reaches the server is its local user: nobody has to show who they are."""
        return self.api_token is None and self.identity_provider is None

    @property
    def registration(self) -> Registration | None:
        """The identity provider, and what it knows this server by; None when people do not sign in."""
        if self.identity_provider is None:
            return None
        given = urlsplit(self.identity_provider.get_secret_value())
        issuer = urlunsplit(given._replace(netloc=given.netloc.rpartition("@")[2]))
        return Registration(issuer, unquote(given.username or ""), unquote(given.password or ""))

    @model_validator(mode="after")
    def _listens_safely(self) -> Self:
        if self.host not in LOOPBACK and self.is_open:
            msg = f"host is {self.host}, which others can reach, and there is neither api_token nor identity_provider"
            raise ValueError(msg)
        registered = self.registration
        if registered is not None and not (registered.client_id and registered.client_secret and self.public_url):
            msg = "identity_provider needs a client id and a client secret in it, and public_url"
            raise ValueError(msg)
        addresses = {"public_url": self.public_url, "identity_provider": registered.issuer if registered else None}
        for name, address in addresses.items():
            if address is not None and not is_safe(address):
                msg = f"{name} is no https:// address (http:// is for loopback only)"
                raise ValueError(msg)
        if self.generator == "transformers" and not self.generator_model:
            msg = "generator is transformers, and generator_model is not set"
            raise ValueError(msg)
        if self.generator == "openai" and not (self.generator_url and self.generator_model):
            msg = "generator is openai, which needs generator_url and generator_model"
            raise ValueError(msg)
        return self


def is_safe(address: str) -> bool:
    """Say whether nobody on the way can read or change what goes to *address*."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
