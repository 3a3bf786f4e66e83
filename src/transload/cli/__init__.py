"""The command line: `transload ...`."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command in sys.argv; exits 0 all well, 1 something is failed or held, 2 config or call wrong, 3 ledger away."""
    from transload.cli.base import application

    try:
        sys.exit(application(sys.argv[1:]))
    finally:
        # What goes with the process need not be looked through first: a third of a second.
        gc.freeze()
