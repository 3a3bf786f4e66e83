"""What a burst of logins leaves behind in memory, and in time."""

from __future__ import annotations

import subprocess
import sys
import threading

from transload.accounts import passwords
from transload.accounts.passwords import Passwords, hashed

BURST = """
import re, sys, threading
from pathlib import Path
from transload.accounts.passwords import Passwords
from transload.servers.memory import give_back_large_pieces
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
if sys.argv[1:]:
    give_back_large_pieces()
looks, all_here = Passwords(), threading.Barrier(32)
looks.verify(None, "the first")
before = resident()
def look(number):
    all_here.wait()
    looks.verify(None, str(number))
threads = [threading.Thread(target=look, args=(number,)) for number in range(32)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident() - before)
"""


def left(*words: str) -> int:
    """How many MB more a process has after 32 passwords were looked at, each in a thread of its own."""
    return int(subprocess.run([sys.executable, "-c", BURST, *words], capture_output=True, text=True, check=True).stdout)


def test_the_memory_of_a_burst_of_logins_goes_back_to_the_system():
    assert left("back") < 10 < left()


def test_a_password_that_many_sessions_bring_at_once_is_computed_once(monkeypatch):
    kept, looks, began, computed = hashed("the same"), Passwords(), threading.Barrier(16), []
    is_right = passwords._is

    def is_(kept, raw):
        computed.append(raw)
        return is_right(kept, raw)

    monkeypatch.setattr(passwords, "_is", is_)
    monkeypatch.setattr(looks, "_turns", threading.BoundedSemaphore(1))
    told = []

    def look():
        began.wait()
        told.append(looks.verify(kept, "the same"))

    threads = [threading.Thread(target=look) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ([True] * 16, [b"the same"]) == (told, computed)
