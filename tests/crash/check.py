"""A judge who reads only sources and destinations, never the ledger: what was lost, doubled, left half done?"""

from __future__ import annotations

from collections.abc import Mapping

Files = Mapping[bytes, bytes]


def delivered_faults(place: str, wanted: Files, there: Files) -> list[str]:
    """What is wrong at a destination that should hold exactly `wanted`."""
    faults = [f"lost: {_shown(name)} is not at {place}" for name in sorted(wanted.keys() - there.keys())]
    for name in sorted(there):
        if name not in wanted:
            faults.append(f"{_kind(name, there[name], wanted)}: {_shown(name)} at {place}")
        elif there[name] != wanted[name]:
            faults.append(f"partial: {_shown(name)} at {place} has {len(there[name])} bytes of {len(wanted[name])}, or others")
    return faults


def source_faults(planted: Files, there: Files, after: str) -> list[str]:
    """What is wrong at a source whose route says keep, delete, or move to done/."""
    wanted = {"keep": dict(planted), "delete": {}, "move": {b"done/" + name: data for name, data in planted.items()}}[after]
    faults = [f"source: {_shown(name)} is missing" for name in sorted(wanted.keys() - there.keys())]
    faults += [f"source: {_shown(name)} should not be there" for name in sorted(there.keys() - wanted.keys())]
    return faults + [f"source: {_shown(name)} was changed" for name in sorted(there.keys() & wanted.keys()) if there[name] != wanted[name]]


def _kind(name: bytes, data: bytes, wanted: Files) -> str:
    if b"transload-" in name or name.endswith(b".part"):
        return "left behind"
    return "doubled" if data in wanted.values() else "foreign"


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
