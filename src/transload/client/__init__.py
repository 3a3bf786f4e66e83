"""The client alone: put, get, list, remove and move on any kind of remote, without config or ledger."""

from __future__ import annotations

from transload.client.address import connect
from transload.client.line import Client

__all__ = ["Client", "connect"]
