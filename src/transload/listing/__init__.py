"""Listings of FTP servers, as bytes, to facts: pure functions."""

from __future__ import annotations

from transload.listing.facts import Fact, Kind, Unread
from transload.listing.mlsd import mlsd, stamp
from transload.listing.reading import listed

__all__ = ["Fact", "Kind", "Unread", "listed", "mlsd", "stamp"]
