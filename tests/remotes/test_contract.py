"""The contract of remotes, kept by every kind of ours on every peer."""

from __future__ import annotations

from tests.remotes import contract
from tests.remotes.contract import parcel

__all__ = ["parcel"]


class TestListing(contract.Listing):
    pass


class TestFetching(contract.Fetching):
    pass


class TestBreaking(contract.Breaking):
    pass


class TestBreakingUploads(contract.BreakingUploads):
    pass


class TestWriting(contract.Writing):
    pass


class TestWritingNames(contract.WritingNames):
    pass


class TestLooking(contract.Looking):
    pass


class TestSettling(contract.Settling):
    pass


class TestReaching(contract.Reaching):
    pass


class TestLoggingIn(contract.LoggingIn):
    pass
