"""The main job, played on this machine: partners with awkward files, a kill in the middle, and a check that believes nobody."""

from __future__ import annotations

from transload.demo.story import Story

__all__ = ["Story"]
