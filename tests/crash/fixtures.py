from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import pytest

from tests.crash.scene import Scene
from tests.peers.fixtures import running
from tests.remotes.places import Place, at_azure, at_folder, at_s3, at_sshd, ftp_at

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_AT = {
    "folder": ("", at_folder),
    "ftp": ("vsftpd", ftp_at()),
    "sftp": ("sshd", at_sshd),
    "s3": ("moto", at_s3),
    "azure": ("azurite", at_azure),
}
_numbers = itertools.count(1)


@pytest.fixture
def folder():
    """A folder in memory, where there is one: a sync on a busy disk is no part of these tests."""
    with tempfile.TemporaryDirectory(prefix="crash-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def place(request, folder):
    """Makes an empty place of a kind, on a server that runs."""

    def make(kind: str) -> Place:
        fixture, at = _AT[kind]
        return at(request.getfixturevalue(fixture) if fixture else None, folder)

    return make


@pytest.fixture
def database(request):
    """Gives the URL of a new PostgreSQL database in which the tables are there already."""

    def make() -> str:
        postgres = request.getfixturevalue("postgres")
        template = running("postgres with tables", lambda: _Template(postgres)).name
        name = f"crash_{os.getpid()}_{next(_numbers)}"
        postgres.run(f"create database {name} template {template}")
        return f"postgresql://postgres@{postgres.host}:{postgres.port}/{name}"

    return make


class _Template:
    """A database as one empty run leaves it; to copy it is quicker than to make the tables anew."""

    def __init__(self, postgres) -> None:
        url = postgres.url()
        self.name = url.rpartition("/")[2]
        with tempfile.TemporaryDirectory(prefix="crash-", dir=MEMORY) as folder:
            scene = Scene(Path(folder), at_folder(None, Path(folder)), {"target": at_folder(None, Path(folder))}, database=url)
            scene.run_well()
        postgres.run("delete from passes", self.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
