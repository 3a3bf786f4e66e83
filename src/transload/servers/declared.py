"""The users that the config declares: made, brought up to date, and disabled when the config no longer has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from transload.accounts import Account
from transload.accounts.homes import home_of
from transload.accounts.passwords import Passwords, hashed, outdated
from transload.accounts.people import Known, People
from transload.config import User
from transload.errors import ConfigError, Conflict


def declare(users: Mapping[str, User], people: People, data: Path) -> list[str]:
    """Let `people` have the declared users as the config says; tells what was changed, a line for each.

    Users that only the ledger knows are left alone. One that was declared and is no more is disabled, not removed. Raises
    ConfigError where a secret or a home is wrong: then nothing was changed.
    """
    while True:
        seen = {name: known for name in users if (known := people.find(name)) is not None}
        wanted = {name: _account(name, user, seen.get(name), data) for name, user in users.items()}
        changed = [one for name, one in wanted.items() if name not in seen or seen[name].account != one]
        lines = [_line(one, seen.get(one.name)) for one in changed]
        try:
            if changed:
                people.put(*changed, seen={name: known.stamp for name, known in seen.items()})
        except Conflict:
            continue  # somebody changed one of them just now
        return lines + _disable(people, users)


def _line(account: Account, known: Known | None) -> str:
    if known is None:
        return f"user {account.name}: made, as the config declares"
    if not known.account.declared:
        return f"user {account.name}: was made by hand, and is now as the config declares"
    return f"user {account.name}: changed, as the config declares"


def _disable(people: People, users: Mapping[str, User]) -> list[str]:
    lines = []
    for account in people.all():
        if account.declared and account.enabled and account.name not in users:
            known = people.find(account.name)
            if known is not None:
                try:
                    people.put(known.account.model_copy(update={"enabled": False}), seen={account.name: known.stamp})
                except Conflict:
                    continue  # somebody has it in hand
                lines.append(
                    f"user {account.name}: disabled, since the config no longer declares it; "
                    f"transload user change {account.name} --enable keeps it, transload user rm {account.name} removes it"
                )
    return lines


def _account(name: str, user: User, known: Known | None, data: Path) -> Account:
    try:
        home = home_of(name, user.home, data / "inbox", data)
        password = None if user.password is None else _hash(user.password.reveal(), known)
    except ConfigError as error:
        raise ConfigError(f"users.{name}: {error}") from error
    return Account(
        name=name,
        password=password,
        keys=user.keys,
        certificate=user.certificate,
        methods=user.methods,
        home=home,
        rights=user.rights,
        limits=user.limits,
        arrival=None if user.arrival is None else user.arrival.model_dump_json(exclude_defaults=True),
        declared=True,
        enabled=user.enabled,
    )


def _hash(password: str, known: Known | None) -> str:
    """The hash that is kept already if it is of this password: a new one would end the sessions of a user who changed nothing."""
    kept = known.account.password if known is not None else None
    return kept if kept is not None and not outdated(kept) and Passwords().verify(kept, password) else hashed(password)


__all__ = ["declare"]
