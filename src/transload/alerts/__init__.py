"""Alerts: what somebody should hear of is found in the ledger, kept in it until it is told, and told."""

from __future__ import annotations

from transload.alerts.finding import Finding
from transload.alerts.telling import due, places_of, tell, tell_all

__all__ = ["Finding", "due", "places_of", "tell", "tell_all"]
