from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from transload.config import Config, Move, check, schema
from transload.errors import ConfigError
from transload.explain import ConfigFaults
from transload.model import Name, Verify

GOOD = r"""
[transload]
data = "state"
spool = { keep = "1h30m", min_free = "1GB" }

[remotes.inbox]
kind = "folder"
path = "in"

[remotes.archive]
kind = "folder"
path = "/srv/archive"

[remotes.partner]
kind = "ftp"
host = "ftp.example"
user = "loader"
password = { env = "TEST_FTP_PASSWORD" }

[[routes]]
name = "acl"
from = { remote = "inbox", path = "new", match = "(?i)(?P<site>[a-z]+)_\\d+\\.csv", every = "15m", limit = 10 }
to = [
  { remote = "archive", name = "{site}/{now:%Y}/{name}", marker = "{name}.done" },
  { remote = "archive", name = "copy/{name}", verify = "read-back", required = false },
  { remote = "partner" },
]
after = { move = "done/" }
backoff = { first = "2s" }
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_FTP_PASSWORD", "hunter2-canary")

    def write(text: str) -> Path:
        path = tmp_path / "transload.toml"
        path.write_text(text)
        return path

    return write


def test_a_config_is_read_into_frozen_values(write):
    path = write(GOOD)
    config = Config.load(path)
    assert path.parent / "state" == config.data
    assert path.parent / "log/monitor.log" == config.log.monitor
    assert 5400.0 == config.spool.keep
    assert ["inbox", "archive", "partner"] == list(config.remotes)
    (route,) = config.routes
    assert ("inbox", ("new",), 900.0, 10) == (route.source.remote, route.source.path, route.source.every, route.source.limit)
    assert ["archive", "archive-2", "partner"] == [to.id for to in route.to]
    assert [Verify.SIZE, Verify.READ_BACK, Verify.SIZE] == [to.verify for to in route.to]
    assert [True, False, True] == [to.required for to in route.to]
    assert Move(move="done") == route.after
    assert "done" == route.source.moved_to
    assert (2.0, 900.0) == (route.backoff.first, route.backoff.cap)
    with pytest.raises(ValidationError):
        route.attempts = 5


def test_what_is_not_said_has_the_documented_value(write):
    route = Config.load(write(GOOD.replace("after = ", "# after = "))).routes[0]
    source = route.source
    assert ("keep", 3, True, 256, 256 << 20) == (route.after, route.attempts, route.enabled, route.batch.files, route.batch.bytes)
    assert (True, None, 5.0, "oldest") == (source.recursive, source.depth, source.settle, source.order)
    assert ("path+size+mtime", "version", "deliver") == (source.identity, source.changed, source.duplicate)
    assert ("UTC", 0.0, "once") == (source.zone, source.jitter, source.missed)
    assert ("*.part", "*.tmp", "*.filepart", "*.partial", "*.$$$", "*.crdownload", ".*") == source.temporary
    assert ("version", None, "{folder}/{name}") == (route.to[2].conflict, route.to[2].marker, route.to[2].name.text)


def test_loading_the_same_file_again_gives_an_equal_config(write):
    path = write(GOOD)
    one, other = Config.load(path), Config.load(path)
    assert one.routes[0].source.wanted.texts  # what was compiled meanwhile makes no difference
    assert one == other
    assert one.digest == other.digest


def test_the_digest_does_not_mind_comments_and_minds_values(write):
    first = Config.load(write(GOOD)).digest
    assert first == Config.load(write("# a comment\n" + GOOD)).digest
    assert first != Config.load(write(GOOD.replace("15m", "16m"))).digest


def test_the_environment_names_the_file(write, monkeypatch):
    monkeypatch.setenv("TRANSLOAD_CONFIG", str(write(GOOD)))
    assert "acl" == Config.load().routes[0].name


def test_tables_make_the_same_config_as_a_file_with_them(write):
    import tomllib

    path = write(GOOD)
    assert Config.load(path) == Config.of(tomllib.loads(GOOD), path.parent)


def test_a_route_is_found_by_name_and_a_near_one_is_named(write):
    config = Config.load(write(GOOD))
    assert config.routes[0] is config.route("acl")
    with pytest.raises(ConfigError, match=r'there is no route "acll"; did you mean "acl"\?'):
        config.route("acll")


def test_the_ledger_lies_in_the_data_folder_unless_a_url_is_given(write, monkeypatch):
    path = write(GOOD)
    assert f"sqlite:///{path.parent}/state/ledger.db" == Config.load(path).database_url
    monkeypatch.setenv("TEST_DB", "postgresql://transload:canary-password@db/transload")
    assert "postgresql://transload:canary-password@db/transload" == _with(write, 'database = { env = "TEST_DB" }').database_url
    assert "postgresql://db/transload" == _with(write, 'database = "postgresql://db/transload"').database_url
    assert f"sqlite:///{path.parent}/mine.db" == _with(write, 'database = "sqlite:///mine.db"').database_url
    assert "sqlite:////srv/mine.db" == _with(write, 'database = "sqlite:////srv/mine.db"').database_url


def _with(write, line: str) -> Config:
    return Config.load(write(GOOD.replace('data = "state"', f'data = "state"\n{line}')))


def test_commands_that_connect_to_nothing_need_no_secrets(write, monkeypatch):
    path = write(GOOD)
    monkeypatch.delenv("TEST_FTP_PASSWORD")
    assert "acl" == Config.load(path, secrets=False).routes[0].name
    with pytest.raises(ConfigFaults, match="TEST_FTP_PASSWORD"):
        Config.load(path)


def test_a_config_is_equal_whether_the_secret_changed_or_not_and_never_shows_it(write, monkeypatch):
    path = write(GOOD)
    one = Config.load(path)
    monkeypatch.setenv("TEST_FTP_PASSWORD", "another-canary")
    assert one == Config.load(path)
    for text in (repr(one), str(one), one.model_dump_json()):
        assert "canary" not in text


def test_only_the_modules_of_named_kinds_are_imported(tmp_path):
    (tmp_path / "transload.toml").write_text('[remotes.a]\nkind = "folder"\npath = "a"\n')
    code = """
import sys
from transload.config import Config
Config.load("transload.toml")
print(*sorted(set(sys.modules) & {"obstore", "asyncssh", "httpx2", "sqlalchemy", "dbos", "structlog", "croniter", "transload.remotes.ftp"}))
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
    assert "" == found.stdout.strip()


def test_modules_of_the_user_are_imported_from_beside_the_config(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_transload_hooks.py").write_text("import os\nos.environ['HOOKS_WERE_HERE'] = 'yes'\n")
    monkeypatch.delenv("HOOKS_WERE_HERE", raising=False)
    assert ("my_transload_hooks",) == Config.of({"transload": {"modules": ["my_transload_hooks"]}}, tmp_path).modules
    assert "yes" == os.environ["HOOKS_WERE_HERE"]


def test_an_installed_package_brings_a_kind_of_its_own(tmp_path, monkeypatch):
    package = tmp_path / "site"
    (package / "pigeon-1.dist-info").mkdir(parents=True)
    (package / "pigeon-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: pigeon\nVersion: 1\n")
    (package / "pigeon-1.dist-info/entry_points.txt").write_text("[transload.remotes]\npigeon = pigeon_post:PigeonRemote\n")
    (package / "pigeon_post.py").write_text(
        "from typing import Literal\nfrom transload.remotes.base import RemoteSettings\n"
        "class Loft:\n    def list(self, folder, *, recursive): ...\n    def fetch(self, entries, spool): ...\n"
        "class PigeonRemote(RemoteSettings):\n    session = Loft\n    kind: Literal['pigeon'] = 'pigeon'\n    ring: int\n"
    )
    monkeypatch.syspath_prepend(str(package))
    config = Config.of({"remotes": {"roof": {"kind": "pigeon", "ring": 7}}}, tmp_path)
    assert 7 == config.remotes["roof"].ring
    with pytest.raises(ConfigFaults, match=r'remotes\.roof\.rng: unknown key; did you mean "ring"\?'):
        Config.of({"remotes": {"roof": {"kind": "pigeon", "ring": 7, "rng": 7}}}, tmp_path)


def test_the_schema_knows_every_kind_and_key():
    whole = schema()
    text = json.dumps(whole)
    assert {"transload", "quarantine", "remotes", "servers", "users", "notify", "routes"} == set(whole["properties"])
    for kind in ("folder", "ftp", "sftp", "http", "s3", "azure", "gcs", "scan", "unpack", "checksum", "format", "command"):
        assert f'"const": "{kind}"' in text
    route = whole["$defs"]["Route"]
    keys = "name from steps to arrival on_received after expect notify attempts backoff batch enabled"
    assert set(keys.split()) == set(route["properties"])
    assert route["additionalProperties"] is False


def test_a_file_without_routes_is_a_config(write):
    assert ((), {}) == ((config := Config.load(write(""))).routes, dict(config.remotes))


def test_a_good_config_has_no_faults(write):
    assert [] == check(write(GOOD))


def test_a_moved_file_goes_below_its_folder():
    assert Name("done/2026/a.csv") == Move(move="done/2026").target(Name("a.csv"))


def test_destinations_with_an_id_keep_it_and_others_go_round_it(write):
    config = Config.load(write(GOOD.replace('{ remote = "partner" }', '{ remote = "partner", id = "archive-2" }')))
    assert ["archive", "archive-3", "archive-2"] == [to.id for to in config.routes[0].to]
