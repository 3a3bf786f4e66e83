"""One upload that lands on a real disk, between a "begin" and a "yes"; for looking at from below."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.servers.landings import Wharf

if __name__ == "__main__":
    wharf = Wharf(Path(sys.argv[1]), sys.argv[2])
    os.write(1, b"begin\n")
    wharf.put("a.csv", b"some data")
    os.write(1, b"yes\n")
    wharf.close()
