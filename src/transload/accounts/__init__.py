"""Who may come in by our servers, and what they may do there: values and pure functions; the ledger stores them."""

from __future__ import annotations

from transload.accounts.account import Account, Login
from transload.accounts.limits import Limits
from transload.accounts.rights import ALL, Rights

__all__ = ["ALL", "Account", "Limits", "Login", "Rights"]
