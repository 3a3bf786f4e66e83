"""Configs of tests, made for machines whose disks have little room: what a config leaves to the defaults wants gigabytes."""

from __future__ import annotations

import re


def roomy(text: str) -> str:
    """The same config; a megabyte of free space is enough, where it does not say otherwise."""
    settings = ""
    if not re.search(r"^[^#\n]*min_free", text, re.MULTILINE):
        text, found = re.subn(r"^spool = \{", 'spool = { min_free = "1MB",', text, flags=re.MULTILINE)
        settings += "" if found else 'spool.min_free = "1MB"\n'
    if not re.search(r"^(?:(?:alerts\.)?disk|alerts) = ", text, re.MULTILINE):
        text, found = re.subn(r"^\[transload\.alerts\]$", r'\g<0>\ndisk = "1MB"', text, flags=re.MULTILINE)
        settings += "" if found else 'alerts.disk = "1MB"\n'
    if not settings:
        return text
    text, found = re.subn(r"^\[transload\]$", rf"\g<0>\n{settings.rstrip()}", text, count=1, flags=re.MULTILINE)
    return text if found else f"[transload]\n{settings}{text}"
