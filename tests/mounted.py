"""Real small disks for tests: mounted by root, skipped by name without."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def memory(at: Path, options: str) -> Iterator[Path]:
    """A file system in memory at `at`, made with mount's `options`: "size=1m", "nr_inodes=64"."""
    _root_only()
    at.mkdir(exist_ok=True)
    with _mounted(["-t", "tmpfs", "-o", options, "none"], at):
        yield at


@contextmanager
def image(at: Path, megabytes: int) -> Iterator[Path]:
    """An ext4 file system in a file beside `at`."""
    _root_only()
    make = shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if make is None:
        pytest.skip("needs mkfs.ext4 (e2fsprogs)")
    at.mkdir(exist_ok=True)
    file = at.with_suffix(".img")
    with file.open("wb") as made:
        made.truncate(megabytes << 20)
    subprocess.run([make, "-q", "-I", "256", str(file)], check=True, capture_output=True)
    with _mounted(["-o", "loop", str(file)], at):
        yield at


def _root_only() -> None:
    if os.geteuid():
        pytest.skip("needs root, to mount a small disk")


@contextmanager
def _mounted(options: list[str], at: Path) -> Iterator[None]:
    tried = subprocess.run(["mount", *options, str(at)], check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"needs mount {' '.join(options)}: {tried.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)
