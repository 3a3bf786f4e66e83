"""What is done to a file between its arrival and its deliveries."""

from __future__ import annotations

from transload.steps.base import FileView, Output, Scratch, Sink, Step, Verdict

__all__ = ["FileView", "Output", "Scratch", "Sink", "Step", "Verdict"]
