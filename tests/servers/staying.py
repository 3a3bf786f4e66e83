"""Visits without a protocol in front: real homes, a real landing of either kind."""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager

from transload.accounts import Account, Limits, Login, Rights
from transload.config import Config
from transload.ledger import Ledger
from transload.servers.home import Homes
from transload.servers.landing import FolderLanding, LedgerLanding
from transload.servers.pace import Paces
from transload.servers.visit import Stays
from transload.spool import Spool

ALL = "elradfmwMT"
CONFIG = """
[transload]
data = "data"
[servers.sftp]
listen = "127.0.0.1:0"
[remotes.out]
kind = "folder"
path = "out"
[[routes]]
name = "all"
from = { server = true }
to = [{ remote = "out" }]
"""


_addresses = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in itertools.count(1))


class Seat:
    """A session's place, as the gate would give it: each its own client."""

    def __init__(self, account, address=None):
        self.account, self.over, self.left = account, "", 0
        self.login = Login("sftp", address or next(_addresses), account.name)

    def leave(self):
        self.left += 1


@contextmanager
def folder_landing(folder):
    landing = FolderLanding(folder)
    try:
        yield landing
    finally:
        landing.close()


@contextmanager
def ledger_landing(folder):
    path = folder / "transload.toml"
    path.write_text(CONFIG, encoding="ascii")
    config = Config.load(path)
    config.data.mkdir(exist_ok=True)
    with Spool(config.data / "spool", min_free=0, keep=3600) as spool:
        ledger = Ledger(config.database_url)
        landing = LedgerLanding(config, ledger, spool, "here", lambda: None)
        try:
            yield landing
        finally:
            landing.close()
            ledger.close()


LANDINGS = {"folder": folder_landing, "ledger": ledger_landing}


class Inn:
    """Homes below one folder, and visits to them."""

    def __init__(self, folder, landing):
        self.folder, self.homes, self.paces = folder, Homes(folder), Paces()
        self.stays = Stays(self.homes, landing, self.paces)

    def visit(self, user="ann", letters=ALL, folders=None, home=None, arrival=None, address=None, **limits):
        """One more session, from an address of its own."""
        rights, bounds = Rights(letters, folders), Limits(**limits)
        account = Account(name=user, home=home or user, rights=rights, limits=bounds, arrival=arrival)
        return self.stays(Seat(account, address))


def ended(ask):
    """What the `then` that `ask` is given is told: raised, unless it is a "yes"."""
    told, told_it = [], threading.Event()

    def then(error):
        told.append(error)
        told_it.set()

    ask(then)
    assert told_it.wait(30), "nobody was told"
    if told[0] is not None:
        raise told[0]


def put(visit, path, data=b"hello", **how):
    """Upload, wait for the "yes", or raise the "no"."""
    upload = visit.upload(path, **how)
    try:
        for at in range(0, len(data), 65_536):
            upload.write(data[at : at + 65_536])
    except BaseException:
        upload.cut("it broke off")
        raise
    ended(upload.finish)


def rename(visit, old, new):
    ended(lambda then: visit.rename(old, new, then))


def remove(visit, path):
    ended(lambda then: visit.remove(path, then))


def get(visit, path):
    found = visit.read(path)
    try:
        with open(found.fileno(), "rb", closefd=False) as file:
            return file.read()
    finally:
        found.close()


def names(visit, path=b"/"):
    return sorted(one.name for one in visit.items(path))
