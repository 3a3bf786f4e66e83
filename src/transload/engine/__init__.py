"""Durable execution: work in batches, on the slots of each remote. All of DBOS is below this package."""

from __future__ import annotations

from transload.engine.engine import Engine

__all__ = ["Engine"]
