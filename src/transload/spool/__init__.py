"""The bytes of everything that arrived, each stored once under its SHA-256."""

from __future__ import annotations

from transload.spool.store import Spool

__all__ = ["Spool"]
