from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from transload.demo import Story, files, inspection, serving, setting
from transload.demo.partners import Partners

WHOLE = {b"harbour/a": b"1", b"harbour/b": b"2"}


@pytest.fixture
def partners(tmp_path):
    """Sources and folders as they lie on the disk, with no server running."""
    made = Partners(tmp_path, azure=False)
    for kind in (*made.kinds, "archive"):
        made.root(kind).mkdir(parents=True)
    return made


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_ends_well_and_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told: list[str] = []
    assert Story(told.append).play(), "\n".join(told)
    text = "\n".join(told)
    assert "by the partners' own journals, 0 files were asked for" in text
    assert 2 == len(re.findall(r"kill -9 \d+", text))
    assert 1 == len(re.findall(r"on_received was called: id 1, Tartu_26012026_155959.csv, 8109 bytes, from observator", text))
    for name in ("bare.csv", "report.pdf", "one.zip", "deep.tar.gz"):
        assert 1 == text.count(f"somebody hears: quarantined: {name}: infected: Eicar-Test-Signature")
    assert "every file is at every destination, once and whole" in text
    assert [] == os.listdir(tmp_path)


def test_a_partners_server_ends_with_the_demo_that_started_it(tmp_path):
    root = tmp_path / "partners" / "web"
    root.mkdir(parents=True)
    command = [sys.executable, "-m", "transload.demo.serving", "web", str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert int(server.stdout.readline())
        server.communicate(timeout=10)
        assert 0 == server.returncode


@pytest.mark.parametrize(
    ("held", "counts"),
    [
        (WHOLE, (2, 0, 0, 0)),
        ({b"harbour/a": b"1"}, (1, 1, 0, 0)),
        (WHOLE | {b"harbour/b": b"cut"}, (1, 0, 1, 0)),
        (WHOLE | {b"harbour/b.v2": b"2"}, (2, 0, 0, 1)),
    ],
    ids=["whole", "lost", "damaged", "doubled"],
)
def test_the_comparison_sees_what_is(held, counts):
    found = inspection._compared("archive", WHOLE, held)
    assert counts == (found.whole, found.missing, found.wrong, found.foreign)
    assert found.well is (counts == (2, 0, 0, 0))


def test_every_run_has_the_same_files_and_no_two_have_the_same_bytes(partners):
    for kind, listed in (("ftp", files.of_ftp()), ("sftp", files.of_sftp()), ("web", files.of_web())):
        files.plant(partners.root(kind), kind, listed)
    first = inspection.at_sources(partners)
    files.plant(partners.root("web"), "web", files.of_web())
    assert first == inspection.at_sources(partners)
    # Only the empty file, one of each partner, is like another.
    assert len(first) - 2 == len(set(first.values()))
    assert b"carrier/line\nbreak.csv" in first
    assert not any(name.endswith(b".part") for name in first)


def test_the_config_of_the_demo_has_no_fault(partners, monkeypatch):
    from transload.config import check

    partners._make_secrets(partners.place / "partners" / "secrets")
    partners.ports.update(dict.fromkeys((*partners.kinds, "azure"), 1234))
    for azure in (False, True):
        partners.azure = azure
        setting.write(partners)
        assert [] == check(partners.place / "transload.toml")


def test_azurite_is_found_where_make_peers_puts_it():
    found = serving.azurite()
    if not found:
        pytest.skip("node or Azurite is not installed")
    assert all(Path(one).exists() for one in found)
