"""How the ledger came to be what it is: one version of its schema after another."""

from __future__ import annotations
