"""`python -m transload.cli`: the same as `transload`."""

from __future__ import annotations

from transload.cli import main

main()
