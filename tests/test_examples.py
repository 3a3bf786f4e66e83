from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transload.config import Config, check
from transload.match import Selector, Take
from transload.model import Entry, Name
from transload.names import Facts

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # a part of Apprise for signed mail
EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.toml"))
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def load(monkeypatch):
    def load(path: Path) -> Config:
        for name in re.findall(r'\{ env = "(\w+)" \}', path.read_text()):
            monkeypatch.setenv(name, "json://127.0.0.1/secret" if name == "SLACK_URL" else "secret-of-an-example")
        assert [] == [str(fault) for fault in check(path)]
        return Config.load(path)

    return load


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_without_a_fault(load, path):
    assert load(path).routes


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_names_the_secrets_that_it_needs(path):
    text = path.read_text()
    needed = set(re.findall(r'\{ env = "(\w+)" \}', "\n".join(line for line in text.splitlines() if not line.startswith("#"))))
    exported = set(re.findall(r"(\w+)=\.\.\.", text))
    assert needed == exported
    assert tomllib.loads(text)["transload"]["data"]


@pytest.mark.parametrize(
    ("example", "route", "source", "names"),
    [
        ("ingestion", "partner", "2026/a.csv", ["partner/2026/a.csv"]),
        ("ingestion", "survey", "Tartu_26012026_155959.csv", ["survey/Tartu/2026/02/Tartu_26012026_155959.csv"]),
        ("ingestion", "desk", "x/a.txt", ["desk/x/a-abababab.txt"]),
        ("web-to-ftps", "lists", "sdn.csv", ["sdn.csv"]),
        (
            "gate",
            "acl",
            "ACL_HomeOfficeRoll3_20260101.csv",
            ["2026-03-04/05:06:07.000000/ACL_HomeOfficeRoll3_20260101.csv", "2026/02/01/ACL_HomeOfficeRoll3_20260101.csv"],
        ),
        (
            "gate",
            "acl",
            "[-PRMD=EG-ADMD=ICAO-C=XX-;MTA-EGGG-1-MTCU_0123456789ABCDEF].json",
            ["2026-03-04/05:06:07.000000/[-PRMD=EG-ADMD=ICAO-C=XX-;MTA-EGGG-1-MTCU_0123456789ABCDEF].json"],
        ),
    ],
)
def test_the_examples_take_and_name_the_files_that_they_are_about(load, example, route, source, names):
    taken = load(next(path for path in EXAMPLES if path.stem == example)).route(route)
    selector = Selector(taken.source, NOW)
    entry = Entry("", Name(source), 10, round(datetime(2026, 2, 1, tzinfo=UTC).timestamp() * 1e6), settles=True)
    assert isinstance(selector.judge(entry), Take)
    facts = Facts(entry.name, taken.name, NOW, entry.modified, "ab" * 32, 1, selector.groups(entry))
    assert [Name(name) for name in names] == [to.name.render(facts) for to in taken.to if to.takes(entry.name)]
