"""The [transload] table: where things lie, and how this program behaves as a whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag

from transload.config.words import Table
from transload.explain import Hinted
from transload.secret import RelativePath, Secret
from transload.units import ByteSize, Duration


def _url(text: str) -> str:
    if not re.match(r"(sqlite|postgres(ql)?)(\+\w+)?://", text):
        raise ValueError("wants sqlite:///path or postgresql://host/name")
    if urlsplit(text).password or "password=" in text:
        raise Hinted("holds a password", 'write { env = "TRANSLOAD_DATABASE" } and put the URL there')
    return text


def _kind(value: Any) -> str:
    return "<url>" if isinstance(value, str) else "<secret>"


DatabaseUrl = Annotated[Annotated[str, AfterValidator(_url), Tag("<url>")] | Annotated[Secret, Tag("<secret>")], Discriminator(_kind)]


class SpoolSettings(Table):
    """Where fetched bytes are kept until they are delivered, and for replay."""

    keep: Duration = Field(7 * 86400.0, description="How long delivered bytes stay.")
    min_free: ByteSize = Field(2 * 10**9, description="Below this much free space sources wait.")
    shared: bool = Field(default=False, description="Whether the data folder is one that all machines see.")


class QuarantineSettings(Table):
    """What becomes of files that are kept apart."""

    keep: Duration | None = Field(None, gt=0, description="How long they stay; then they are discarded. Without it until somebody decides.")
    key: Secret | None = Field(None, description="What their copies are encrypted with: 32 bytes in base64 (`openssl rand -base64 32`).")
    older_keys: tuple[Secret, ...] = Field((), description="What older copies may have been encrypted with: they stay readable.")


class LogSettings(Table):
    """Where the log goes: everything, and the errors once more."""

    monitor: RelativePath = Field(Path("log/monitor.log"), validate_default=True)
    error: RelativePath = Field(Path("log/error.log"), validate_default=True)
    format: Literal["json", "text"] = "json"
    keep: int = Field(7, ge=1, le=3650, description="How many days of logs stay.")
    level: Literal["debug", "info", "warning", "error"] = "info"


class AlertSettings(Table):
    """From when on something that stands wrong is told."""

    scanner: Duration = Field(300.0, description="How long files may wait unscanned.")
    backlog: Duration = Field(86400.0, gt=0, description="How old the oldest file that is not delivered may be.")
    disk: ByteSize = Field(5 * 10**9, description="Below this much free space of the data folder's disk.")


class Settings(Table):
    """The [transload] table."""

    data: RelativePath = Field(Path("data"), validate_default=True, description="The folder of ledger.db, spool/, quarantine/, keys/.")
    database: DatabaseUrl | None = Field(None, description="The ledger's URL when several machines work together.")
    spool: SpoolSettings = SpoolSettings()
    log: LogSettings = Field(default_factory=dict, validate_default=True)
    alerts: AlertSettings = AlertSettings()
    modules: tuple[str, ...] = Field((), description="Python modules of yours, imported by every process.")
