"""Every error of the indexing package.

    IndexingError
    ├── SettingsError          a setting is unknown, unparsable or contradicts another
    ├── CatalogError           the database
    │   ├── CatalogTooNew      it was written by a newer Métier
    │   ├── CatalogUnavailable it cannot be reached or is locked
    │   └── StorageFull        the disk is full
    ├── SourceError            a source could not be listed or fetched
    │   ├── SourceMissing      the folder is not there
    │   ├── SourceShrunk       the listing lost implausibly many items: nothing was deleted
    │   ├── RunInProgress      another run of the same source is going on
    │   ├── RunLost            this run gave no sign of life, and another took over
    │   ├── ScheduleUnusable   a schedule that cannot be read, or never fires
    │   ├── OutboundError      another machine could not be asked, or did not answer as it should
    │   │   ├── OutboundRefused it may not be asked: not public, and not in METIER_OUTBOUND_ALLOW
    │   │   └── OutboundTooLong its answer is longer than was allowed
    │   └── ItemUnreadable     one item could not be fetched
    ├── ParseError             one file could not be read
    │   ├── EmptyDocument      no text in it
    │   ├── EncryptedDocument  it needs a password
    │   ├── UnsupportedFormat  no parser for it
    │   ├── ParseLimit         it went past a limit of time, memory or output
    │   └── ParserMissing      a program that is not installed is needed (tesseract, LibreOffice)
    ├── EmbedError             the embedding model failed
    │   └── ModelUnusable      no weights, wrong checksum, not an embedding model
    └── GenerationError        a generation on disk
        ├── GenerationDamaged  a checksum or count does not match: it was quarantined
        ├── GenerationMismatch it belongs to another catalog, timeline or embedding model
        └── PermissionLeak     the index gives out what it must not, however it is made: nothing is searched

Each error carries a *message* (what happened, to which document or setting) and a *remedy* (what to do).
With no message given, the class docstring is the message.
"""

from __future__ import annotations


class IndexingError(Exception):
    """Indexing failed."""

    #: What the user can do, when the place that raises knows nothing better.
    default_remedy = "See the log of the run for details."

    def __init__(self, message: str | None = None, *, remedy: str | None = None) -> None:
        """Keep *message* (the class docstring when absent) and *remedy* (the class's default when absent)."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.remedy = remedy or self.default_remedy
        super().__init__(self.message)

    def __str__(self) -> str:
        """Return the message followed by the remedy, as one line for a person."""
        return f"{self.message} {self.remedy}".strip()


class SettingsError(IndexingError):
    """A setting is unknown, unparsable or contradicts another."""

    default_remedy = "Correct it in the environment (METIER_*) or in metier.toml; the README lists all settings."


class CatalogError(IndexingError):
    """The catalog database failed."""

    default_remedy = "Check METIER_DATABASE_URL and that the database is running."


class CatalogTooNew(CatalogError):
    """The catalog was written by a newer version of Métier."""

    default_remedy = "Install that version or a later one; the catalog was not changed."


class CatalogUnavailable(CatalogError):
    """The catalog cannot be reached."""


class StorageFull(CatalogError):
    """The disk is full: nothing was acknowledged, and what was stored before is intact."""

    default_remedy = "Free space on the disk that holds the data directory, then run the same command again."


class SourceError(IndexingError):
    """The source could not be listed."""

    default_remedy = "Check that the source is reachable; nothing was deleted from the index."


class SourceMissing(SourceError):
    """The folder of the source is not there."""

    default_remedy = "Mount or create it, or remove the source; its documents stay searchable until then."


class SourceShrunk(SourceError):
    """The listing lost implausibly many items, so nothing was deleted."""

    default_remedy = "If the documents are really gone, run `metier sync --confirm-deletions`."


class RunInProgress(SourceError):
    """Another run of this source is going on."""

    default_remedy = "Wait for it to end; its progress is in the list of runs."


class RunLost(SourceError):
    """This run gave no sign of life for a while, and another has taken over; nothing more is written by this one."""

    default_remedy = "Nothing to do: the other run brings the source up to date."


class ScheduleUnusable(SourceError):
    """The schedule cannot be used."""

    default_remedy = "Write five fields, such as 0 6 * * 1-5 for six o'clock on working days."


class OutboundError(SourceError):
    """Another machine could not be asked, or did not answer as it should."""

    default_remedy = "Check that it can be reached from this machine; it is tried again at the next run."


class OutboundRefused(OutboundError):
    """This machine may not be asked."""

    default_remedy = "List the host or its network in METIER_OUTBOUND_ALLOW if it shall be fetched from."


class OutboundTooLong(OutboundError):
    """The answer is longer than was allowed."""

    default_remedy = "Split it, or raise METIER_MAX_FILE_MB."


class ItemUnreadable(SourceError):
    """The item could not be read from its source."""

    default_remedy = "Check the file's permissions; it is tried again at the next run."


class ParseError(IndexingError):
    """The file could not be read."""

    default_remedy = "Open it in the program that made it and save it again, or convert it to PDF."


class EmptyDocument(ParseError):
    """No text was found in the file."""

    default_remedy = "If it is a scan or a picture, install tesseract; otherwise the file really is empty."


class EncryptedDocument(ParseError):
    """The file is protected by a password."""

    default_remedy = "Save a copy without the password."


class UnsupportedFormat(ParseError):
    """There is no parser for this format."""

    default_remedy = "Convert it to PDF, Office, HTML or plain text."


class ParseLimit(ParseError):
    """Reading the file went past a limit of time, memory or output."""

    default_remedy = "Split the file, or raise METIER_PARSE_TIMEOUT_S or METIER_PARSE_MEMORY_MB."


class ParserMissing(ParseError):
    """A program that reads this format is not installed."""

    default_remedy = "Install it on the machine that indexes, then run sync again."


class EmbedError(IndexingError):
    """The embedding model failed."""

    default_remedy = "Check METIER_EMBED_MODEL; the documents are stored and are embedded at the next run."


class ModelUnusable(EmbedError):
    """The embedding model cannot be used."""

    default_remedy = "Point METIER_EMBED_MODEL to a sentence-transformers directory with safetensors weights."


class GenerationError(IndexingError):
    """A generation on disk cannot be used; the catalog holds everything needed to rebuild it."""

    default_remedy = "Nothing to do: another generation is used or a new one is built from the catalog."


class GenerationDamaged(GenerationError):
    """A checksum or a count of the generation does not match its manifest."""


class GenerationMismatch(GenerationError):
    """The generation belongs to another catalog, timeline or embedding model."""


class PermissionLeak(GenerationError):
    """The index gave out what it must not."""

    default_remedy = "Nothing is searched until it does not. Please report it as SECURITY.md says; the log has more."


#: name → class, so that a child process can send an error by name.
PARSE_ERRORS: dict[str, type[ParseError]] = {
    cls.__name__: cls
    for cls in (ParseError, EmptyDocument, EncryptedDocument, UnsupportedFormat, ParseLimit, ParserMissing)
}
