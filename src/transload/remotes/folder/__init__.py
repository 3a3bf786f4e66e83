"""Folders on this machine, or mounted on it, as source and destination."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

from pydantic import Field

from transload.model import spell
from transload.remotes.base import RemoteSettings
from transload.remotes.folder.source import Source
from transload.remotes.folder.target import Target
from transload.secret import RelativePath

__all__ = ["FolderRemote", "FolderSession"]


class FolderSession(Source, Target):
    """A folder: names are its raw bytes, nothing leaves it through a link, what was told is on the disk."""


class FolderRemote(RemoteSettings):
    """A folder; made when something is delivered to it."""

    session: ClassVar[type] = FolderSession

    kind: Literal["folder"] = "folder"
    path: RelativePath = Field(description="The folder below which sources are found and destinations written.")

    @contextmanager
    def connect(self) -> Iterator[FolderSession]:
        """A session; nothing is looked at before it is used."""
        session = FolderSession(os.fsencode(self.path.absolute()))
        try:
            yield session
        finally:
            session.close()

    def where(self) -> str:
        """This place as logs and pages show it."""
        return f"folder:{spell(os.fsencode(self.path))}"
