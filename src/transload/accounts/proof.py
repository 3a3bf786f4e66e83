"""Whether what a client has shown proves that it is who it says, and whether a change of the account undoes that."""

from __future__ import annotations

import re

from transload.accounts.account import NAME, Account, Login
from transload.accounts.keys import plain

_NAME = re.compile(NAME)


def is_name(user: str) -> bool:
    """Whether a user can have that name."""
    return _NAME.match(user) is not None and not user.endswith("\n")


def has_key(account: Account, key: str) -> bool:
    """Whether the account has that public key."""
    return plain(key) in account.keys


def suffices(account: Account, login: Login, *, password: bool) -> bool:
    """Whether what was shown is enough; `password` says whether a password was, and was right."""
    key = login.key is not None and has_key(account, login.key)
    certificate = login.certificate is not None and login.certificate == account.certificate
    if account.methods == "key+password":
        return (key or certificate) and password
    return key or certificate or password


def undone(before: Account, after: Account, login: Login) -> str:
    """Why a session that logged in as `before` must end now that the account is `after`, or nothing."""
    if not after.enabled:
        return "the account was disabled"
    if after.password != before.password and login.password is not None:
        return "the password was changed"
    if login.key is not None and not has_key(after, login.key):
        return "the key was taken away"
    if login.certificate is not None and login.certificate == before.certificate != after.certificate:
        return "the certificate was taken away"
    if after.methods != before.methods:
        return "the ways to log in were changed"
    return "the home was changed" if after.home != before.home else ""


__all__ = ["has_key", "is_name", "suffices", "undone"]
