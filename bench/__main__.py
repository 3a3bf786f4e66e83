"""`python -m bench [NAME ...] [--pairs N] [--scale F] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.peers.base import PeerMissing

from bench import crowded, fleet, gate, known, memory, pull, serve, stores
from bench.race import Row

BENCHES: dict[str, Callable[[Path, int, float], Iterator[Row]]] = {
    "T1": pull.t1,
    "T2": pull.t2,
    "T3": pull.t3,
    "T4": serve.t4,
    "T5": serve.t5,
    "T6": crowded.t6,
    "T7": known.t7,
    "T8": stores.t8,
    "T14": memory.t14,
    "T15": fleet.t15,
    "LOGINS": crowded.logins,
    "SCAN-SMALL": gate.scan_small,
    "SCAN-LARGE": gate.scan_large,
    "UNPACK-ZIP": gate.unpack_zip,
    "UNPACK-TAR": gate.unpack_tar,
}
_MEMORY = Path("/dev/shm")


def main() -> int:
    """Run what is asked for; print the table."""
    wants = argparse.ArgumentParser(prog="python -m bench", description="The same work done by us and by others, as ratios.")
    wants.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHES)}; all by default")
    wants.add_argument("--pairs", type=int, default=3, help="how often each runs, after a warm-up (3)")
    wants.add_argument("--scale", type=float, default=1.0, help="how much work: 0.1 is a tenth of the files or bytes (1)")
    wants.add_argument("--json", type=Path, metavar="FILE", help="put the figures there too, in place of older ones of the same benches")
    given = wants.parse_args()
    unknown = [name for name in given.names if name.upper() not in BENCHES]
    if unknown:
        wants.error(f"there is no bench {unknown[0]}; there are {', '.join(BENCHES)}")
    for name in [name.upper() for name in given.names] or list(BENCHES):
        _one(name, given.pairs, given.scale, given.json)
    return 0


def _one(name: str, pairs: int, scale: float, file: Path | None) -> None:
    print(f"{name}: {(BENCHES[name].__doc__ or '').strip()}", flush=True)
    before, found = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        try:
            found = list(BENCHES[name](Path(folder), pairs, scale))
        except PeerMissing as error:
            print(f"    left out: {error}")
            return
    show(found)
    machine = _machine(before)
    print(f"{machine['cores']} cores, load {machine['load']}, Python {machine['python']}, transload {machine['transload']}\n", flush=True)
    if file:
        rows = [asdict(row) | {"ratio": row.ratio, "reached": row.reached} for row in found]
        told = json.loads(file.read_text()) if file.exists() else {}
        told[name] = {"machine": machine, "pairs": pairs, "scale": scale, "rows": rows}
        file.write_text(json.dumps({key: told[key] for key in BENCHES if key in told}, indent=1) + "\n")


def show(found: list[Row]) -> None:
    """The table, plain."""
    heads = ("", "work", "ours", "theirs", "who", "ratio", "goal", "", "our MB", "their MB", "our CPU", "their CPU")
    lines = [heads, *map(_cells, found)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    print()
    for line in lines:
        print(
            "  ".join(
                cell.ljust(width) if at in (1, 4, 7) else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
        )
    print()


def _cells(row: Row) -> tuple[str, ...]:
    goal = "" if row.goal is None else f"{row.goal:g}{' ' + row.goal_unit if row.goal_unit else ''}"
    word = {True: "reached", False: "missed", None: ""}[row.reached]
    theirs = "" if row.theirs is None else f"{row.theirs:.2f} {row.unit}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    sizes = ("" if one is None else f"{one:.0f}" for one in (row.memory, row.their_memory))
    cpu = ("" if one is None else f"{one:.2f} s" for one in (row.cpu, row.their_cpu))
    return (row.bench, row.work, f"{row.ours:.2f} {row.unit}", theirs, row.peer, ratio, goal, word, *sizes, *cpu)


def _machine(before: float) -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": f"{before:.1f} to {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "system": platform.platform(),
        "transload": f"{version('transload')} ({commit})" if commit else version("transload"),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    sys.exit(main())
