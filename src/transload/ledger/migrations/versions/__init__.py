"""The versions of the schema."""

from __future__ import annotations
