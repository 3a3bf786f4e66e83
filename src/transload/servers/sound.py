"""What can only be said of a user where patterns are known."""

from __future__ import annotations

from transload.accounts import Account
from transload.errors import ConfigError
from transload.patterns import PatternFault, Patterns


def check_account(account: Account) -> None:
    """Raise ConfigError when a pattern of names is none."""
    try:
        Patterns(account.limits.match)
    except PatternFault as error:
        raise ConfigError(f"match: {error}") from error
