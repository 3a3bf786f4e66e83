"""A PAM service that knows one user and password, so that no system user has to be made; needs root."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

from tests.peers.base import PASSWORD, USER, need_root, program

FOLDER = Path("/etc/pam.d")
_numbers = itertools.count(1)


def make_service(peer: str, work: Path, users: tuple[str, ...] = (USER,)) -> Path:
    """Write a service of a new name; the caller unlinks the path that is returned. The users' password is PASSWORD."""
    need_root(peer)
    _sweep()
    load = program("db5.3_load")
    database = work / "login.db"
    known = "".join(f"{user}\n{PASSWORD}\n" for user in users)
    subprocess.run([load, "-T", "-t", "hash", database], input=known.encode(), check=True)
    path = FOLDER / f"transload-{peer}-{os.getpid()}-{next(_numbers)}"
    lines = [f"auth required pam_userdb.so db={database.with_suffix('')} crypt=none", "account required pam_permit.so"]
    path.write_text("\n".join([*lines, "session required pam_permit.so", ""]))
    return path


def _sweep() -> None:
    """Remove what processes that were killed left."""
    for path in FOLDER.glob("transload-*-*-*"):
        if not Path("/proc", path.name.split("-")[2]).exists():
            path.unlink(missing_ok=True)
