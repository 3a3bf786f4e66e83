from __future__ import annotations

import time

import pytest

from tests.peers.base import HOST, free_port
from tests.peers.clamd import Clamd
from tests.peers.fixtures import running
from transload.steps.scan import Scan, _age

NO_VERSION = "clamd tells no version of its signatures"


def faults(settings: dict[str, str], way: str, **more) -> list[str]:
    clamd = running(f"clamd {settings}", lambda: Clamd(settings))
    address = f"unix:{clamd.socket}" if way == "unix" else f"{clamd.host}:{clamd.port}"
    said = Scan(kind="scan", clamd=address, **more).faults()
    # Its only signature here is our own, which has no version.
    assert said[0].startswith(NO_VERSION)
    return said[1:]


ways = pytest.mark.parametrize("way", ["unix", "tcp"])


@ways
def test_safe_settings_have_no_faults(way):
    assert [] == faults({}, way)


@ways
def test_clamd_as_debian_sets_it_calls_clean_what_it_did_not_look_into(way):
    said = faults({"AlertExceedsMax": "no", "AlertEncrypted": "no", "MaxFileSize": "25M", "StreamMaxLength": "25M"}, way)
    assert ["AlertExceedsMax yes" in said[0], "AlertEncrypted yes" in said[1], "a file of max_size (100.0 MB)" in said[2]] == [True] * 3


@ways
def test_limits_of_clamd_below_ours_are_told(way):
    [said] = faults({"StreamMaxLength": "2M", "MaxFileSize": "2M"}, way, max_size="3MB")
    assert "a file of max_size (3.0 MB) would wait for ever: raise StreamMaxLength" in said


def test_a_file_over_maxfilesize_that_is_called_clean_is_told():
    said = faults({"AlertExceedsMax": "no", "MaxFileSize": "1M"}, "tcp", max_size="3MB")
    assert "calls a file of max_size (3.0 MB) clean without having looked" in said[1]


def test_a_scanner_that_finds_nothing_is_told(tmp_path):
    clamd = Clamd()
    clamd.signature = "Other:0:*:" + b"nothing of the kind".hex()
    with clamd:
        said = Scan(kind="scan", clamd=f"unix:{clamd.socket}").faults()
    assert "does not find EICAR" in said[1]


def test_a_scanner_that_is_away_is_told():
    [said] = Scan(kind="scan", clamd=f"{HOST}:{free_port()}").faults()
    assert "Connection refused" in said


def test_the_age_of_the_signatures_is_told():
    def told(days: float) -> str:
        return _age(f"27483/{time.strftime('%a %b %d %H:%M:%S %Y', time.localtime(time.time() - days * 86400))}")

    assert "" == told(0)
    assert "" == told(6)
    assert "clamd's signatures (27483) are 9 days old: is freshclam running?" == told(9)
    assert _age("").startswith(NO_VERSION)
