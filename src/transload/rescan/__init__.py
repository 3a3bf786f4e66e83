"""Looking again with the signatures of now: at what was delivered, and at what is kept apart."""

from __future__ import annotations

from transload.rescan.delivered import Rescan, Tally, Unknown
from transload.rescan.finds import Find, Part
from transload.rescan.held import Held, look_at_held
from transload.rescan.scanners import Store

__all__ = ["Find", "Held", "Part", "Rescan", "Store", "Tally", "Unknown", "look_at_held"]
