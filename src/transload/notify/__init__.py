"""Notices: who is told of what, and how. What is owed to whom stands in the ledger; here it becomes messages, which are sent."""

from __future__ import annotations

from transload.notify.base import Target
from transload.notify.texts import Message, Round, messages

__all__ = ["Message", "Round", "Target", "messages"]
