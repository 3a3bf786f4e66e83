"""Configs of tests, made for machines whose disks have little room: what a config leaves to the defaults wants gigabytes."""

from __future__ import annotations

import re


def roomy(text: str) -> str:
    """The same config, its lines where they were; a megabyte of free space is enough, where it does not say otherwise."""
    if not re.search(r"^[^#\n]*min_free", text, re.MULTILINE):
        text, found = re.subn(r"^spool = \{", 'spool = { min_free = "1MB",', text, flags=re.MULTILINE)
        text += "" if found else '\n[transload.spool]\nmin_free = "1MB"\n'
    if not re.search(r"^(disk|alerts) = ", text, re.MULTILINE):
        text, found = re.subn(r"^\[transload\.alerts\]$", r'\g<0>\ndisk = "1MB"', text, flags=re.MULTILINE)
        text += "" if found else '\n[transload.alerts]\ndisk = "1MB"\n'
    return text
