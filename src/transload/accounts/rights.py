"""What a user may do, in the letters that FTP server libraries share, folder by folder."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

ALL = "elradfmwMT"
"""e enter, l list, r read, a append, d delete, f rename, m make folder, w write, M mode, T time."""


def folder_of(text: str) -> str:
    """The one spelling of a folder of a home: /out for /out/ and //out; ValueError for one in which no path of a client can lie."""
    parts = [part for part in text.split("/") if part]
    if not text.startswith("/"):
        raise ValueError("a folder of the home is wanted, from the home on, such as /out")
    if "." in parts or ".." in parts:
        raise ValueError("write the folder without . and .., as a client sees it, such as /out")
    return "/" + "/".join(parts)


class Rights(BaseModel):
    """Letters for a home, and others for some of its folders; the deepest folder that is named decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    letters: str = "elradfmw"
    folders: Mapping[str, str] = {}

    def __init__(self, letters: str = "elradfmw", folders: Mapping[str, str] | None = None) -> None:
        """`folders` are absolute paths in the home ("/out"), each with its letters."""
        super().__init__(letters=letters, folders=folders or {})

    def at(self, path: bytes) -> str:
        """The letters that hold for `path` (below the home, without a leading slash; empty for the home itself)."""
        best, letters = -1, self.letters
        for folder, its in self.folders.items():
            raw = folder.strip("/").encode("utf-8", "surrogateescape")
            here = not raw or path == raw or path.startswith(raw + b"/")
            if here and len(raw) > best:
                best, letters = len(raw), its
        return letters

    def allow(self, letter: str, path: bytes) -> bool:
        """Whether `letter` is among those of `path`."""
        return letter in self.at(path)
