"""Where uploads land: what makes a "yes" true."""

from __future__ import annotations

from transload.servers.landing.ledgered import LedgerLanding
from transload.servers.landing.plain import FolderLanding

__all__ = ["FolderLanding", "LedgerLanding"]
