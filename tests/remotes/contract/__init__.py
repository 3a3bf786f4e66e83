"""What every remote promises, as tests: inherit the classes, and give the fixtures `place` (see places.Place), `spool` and `parcel`.

`needs` of a class says which of a remote's abilities its tests want.
"""

from __future__ import annotations

from tests.remotes.contract.asking import parcel
from tests.remotes.contract.fetching import Breaking, Fetching
from tests.remotes.contract.listing import Listing
from tests.remotes.contract.reaching import BreakingUploads, LoggingIn, Reaching
from tests.remotes.contract.settling import Looking, Settling
from tests.remotes.contract.writing import Writing, WritingNames

__all__ = [
    "Breaking",
    "BreakingUploads",
    "Fetching",
    "Listing",
    "LoggingIn",
    "Looking",
    "Reaching",
    "Settling",
    "Writing",
    "WritingNames",
    "parcel",
]
