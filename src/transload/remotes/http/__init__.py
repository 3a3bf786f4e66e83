"""Files at web addresses: a source only; every address is written in the config, nothing is crawled."""

from __future__ import annotations

from transload.remotes.http.settings import HttpFile, HttpRemote

__all__ = ["HttpFile", "HttpRemote"]
