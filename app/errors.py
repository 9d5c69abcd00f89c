"""Every error of the serving package. ``app/problems.py`` holds the one table that gives each its HTTP status.

AppError
├── BadRequest           the question or a parameter cannot be used
│   ├── QuestionTooLong
│   └── TooLarge         a pushed document is larger than allowed
├── NotAllowed           no principal, or a wrong key
│   └── SignInFailed     the identity provider did not name somebody who may sign in
├── TooManyRequests      this principal asks for more than its share
├── ProviderUnavailable  the identity provider cannot be reached or read
├── Forbidden            known, but not permitted; or a web page that is not ours asks
├── NotFound             absent, or not for this principal: the two look the same
├── Conflict             the name is taken, a run is already going on
├── NoIndexYet           nothing was indexed so far
├── SlackError           Slack refused a call, or cannot be reached
├── AnswerWithdrawn      a cited document changed, or may no longer be read, while the answer was written
└── GeneratorError       the generator failed
    ├── GeneratorTimeout
    ├── GeneratorOverloaded
    └── GeneratorUnusable  no weights, no chat template, wrong address
"""

from __future__ import annotations

from indexing.errors import IndexingError


class AppError(IndexingError):
    """The request could not be served."""

    default_remedy = ""


class BadRequest(AppError):
    """The request cannot be used."""


class QuestionTooLong(BadRequest):
    """The question is too long."""

    default_remedy = "Ask a shorter question."


class TooLarge(BadRequest):
    """The document is larger than this server accepts."""

    default_remedy = "Split it, or raise METIER_MAX_FILE_MB on the server."


class NotAllowed(AppError):
    """This needs an API token."""

    default_remedy = "Send it as `Authorization: Bearer …` (METIER_API_TOKEN on the server)."


class SignInFailed(NotAllowed):
    """The sign-in failed."""

    default_remedy = "Sign in again, from the beginning."


class ProviderUnavailable(AppError):
    """The identity provider cannot be reached or read."""

    default_remedy = "Check METIER_IDENTITY_PROVIDER, and that the server can reach it."


class Forbidden(AppError):
    """This is not permitted."""

    default_remedy = "Ask the operator of this server for the permission."


class TooManyRequests(AppError):
    """More than one principal's share was asked for."""

    default_remedy = "Wait as long as Retry-After says; METIER_REQUESTS_PER_MINUTE and METIER_ANSWERS_AT_ONCE limit it."

    def __init__(self, message: str | None = None, *, remedy: str | None = None, retry_after_s: int = 2) -> None:
        """Keep the seconds after which a client may try again."""
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class NotFound(AppError):
    """There is nothing with this name or id."""


class Conflict(AppError):
    """This is at odds with what is already there."""


class NoIndexYet(AppError):
    """Nothing is indexed yet."""

    default_remedy = "Add a folder with `metier sources add NAME PATH`, then run `metier sync`."


class AnswerWithdrawn(AppError):
    """A cited document changed, or may no longer be read, while the answer was written."""

    default_remedy = "Ask again."


class SlackError(AppError):
    """Slack refused a call, or cannot be reached."""

    default_remedy = "`metier slack status` tells how the connection is."

    def __init__(
        self, message: str | None = None, *, remedy: str | None = None, code: str = "", retry_after_s: int = 0
    ) -> None:
        """Keep Slack's own word for what is wrong, such as channel_not_found; "" when it did not answer.

        *retry_after_s* comes with the code ratelimited: seconds after which the call may be made.
        """
        super().__init__(message, remedy=remedy)
        self.code = code
        self.retry_after_s = retry_after_s


class GeneratorError(AppError):
    """The generator failed."""

    default_remedy = "The passages that were found are still shown; check METIER_GENERATOR."


class GeneratorTimeout(GeneratorError):
    """The generator did not answer in time."""

    default_remedy = "Raise METIER_ANSWER_TIMEOUT_S, or use a smaller model."


class GeneratorOverloaded(GeneratorError):
    """Too many questions are waiting for the generator."""

    default_remedy = "Try again in a few seconds."


class GeneratorUnusable(GeneratorError):
    """The generator cannot be loaded."""

    default_remedy = "Point METIER_GENERATOR_MODEL to a directory with safetensors weights and a chat template."
