"""Hooks: who is told of each arrival, as if it were one more destination. A function in Python, a command, or a URL."""

from __future__ import annotations

from transload.remotes.hook.functions import forget, of_module, on_received, registered
from transload.remotes.hook.session import HookRemote

__all__ = ["HookRemote", "forget", "of_module", "on_received", "registered"]
