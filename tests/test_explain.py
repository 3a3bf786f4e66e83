# ruff: noqa: E501
from __future__ import annotations

import pytest

from transload.config import check
from transload.explain import ConfigFaults, Fault, meant

HEAD = """
[remotes.box]
kind = "folder"
path = "box"

[remotes.out]
kind = "folder"
path = "out"

[remotes.web]
kind = "http"
files = { sdn = "https://data.example/sdn.csv" }
"""

ROUTE = 'from = { remote = "box" }\nto = [{ remote = "out" }]'


@pytest.fixture
def faults(tmp_path):
    def faults(text: str) -> list[str]:
        (tmp_path / "transload.toml").write_text(text)
        return [str(fault).replace(str(tmp_path) + "/", "") for fault in check(tmp_path / "transload.toml")]

    return faults


def route(source: str = 'remote = "box"', to: str = '{ remote = "out" }', more: str = "", name: str = "acl") -> str:
    return f'{HEAD}\n[[routes]]\nname = "{name}"\nfrom = {{ {source} }}\nto = [{to}]\n{more}\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # the file
        ("[transload", "transload.toml: column 11: Expected ']' at the end of a table declaration (line 1)"),
        ('a = "b', "transload.toml: column 7: Illegal character '\\n' (line 1)"),
        ("a = 1\na = 2", "transload.toml: column 6: Cannot overwrite a value (line 2)"),
        # the top
        ("[remote.x]\n", 'remote: unknown key (line 1); did you mean "remotes"?'),
        ("[servers.ftp]\n", 'servers.ftp: listens nowhere (line 1); write listen = "127.0.0.1:2121"'),
        ("[notify.ops]\n", "notify.ops: wants exactly one of url, webhook, command (line 1)"),
        ("notify = 1\n", "notify: wants tables, one for each target (line 1); [notify.NAME]"),
        ('[notify."a b"]\ncommand = ["true"]\n', 'notify."a b": is no name for a target (line 1); at most 64 letters, digits, _, . and -'),
        (
            '[notify.ops]\ncommand = ["no-such-program"]\n',
            'notify.ops.command: there is no program "no-such-program" (line 2); give its whole path',
        ),
        (
            '[notify.ops]\nurl = { env = "NOT_SET_HERE" }\n',
            "notify.ops.url: the environment variable NOT_SET_HERE is not set (line 2); set it before the start",
        ),
        ("remotes = 1\n", "remotes: wants tables, one for each remote (line 1); [remotes.NAME]"),
        ("routes = 1\n", "routes: wants a list of tables (line 1); [[routes]]"),
        ("transload = 1\n", "transload: wants a table, { ... } (line 1)"),
        # the table transload
        ("[transload]\ndta = 1\n", 'transload.dta: unknown key (line 2); did you mean "data"?'),
        ("[transload]\ndata = 1\n", "transload.data: wants a path in quotes (line 2)"),
        ('[transload]\nspool = { keep = "long" }\n', 'transload.spool.keep: wants a time such as "10m", "1h30m" or "250ms" (line 2)'),
        ('[transload]\nspool = { min_free = "much" }\n', 'transload.spool.min_free: wants a size such as "200MB" or "1GiB" (line 2)'),
        ("[transload]\nspool = { shared = 7 }\n", "transload.spool.shared: wants true or false (line 2)"),
        ('[transload]\nlog = { format = "jsno" }\n', 'transload.log.format: wants "json" or "text" (line 2); did you mean "json"?'),
        ("[transload]\nlog = { keep = 0 }\n", "transload.log.keep: wants at least 1 (line 2)"),
        ('[transload]\ndatabase = "mysql://x"\n', "transload.database: wants sqlite:///path or postgresql://host/name (line 2)"),
        (
            '[transload]\ndatabase = "postgresql://u:canary@h/d"\n',
            'transload.database: holds a password (line 2); write { env = "TRANSLOAD_DATABASE" } and put the URL there',
        ),
        (
            '[transload]\ndatabase = { env = "NOT_SET_HERE" }\n',
            "transload.database: the environment variable NOT_SET_HERE is not set (line 2); set it before the start",
        ),
        (
            '[transload]\nmodules = ["not_there_at_all"]\n',
            "transload.modules[0]: cannot be imported: ModuleNotFoundError: No module named 'not_there_at_all' (line 2)",
        ),
        # remotes
        ("[remotes]\nx = 1\n", "remotes.x: wants a table, { ... } (line 2)"),
        (
            '[remotes."a b"]\nkind = "folder"\npath = "x"\n',
            'remotes."a b": is no name for a remote (line 1); at most 64 letters, digits, _, . and -',
        ),
        ("[remotes.x]\n", "remotes.x.kind: missing (line 1); one of azure, folder, ftp, gcs, http, s3, sftp"),
        ("[remotes.x]\nkind = 1\n", "remotes.x.kind: wants a text in quotes (line 2); one of azure, folder, ftp, gcs, http, s3, sftp"),
        ('[remotes.x]\nkind = "foldr"\n', 'remotes.x.kind: there is no kind "foldr" (line 2); did you mean "folder"?'),
        (
            '[remotes.x]\nkind = "pigeon"\n',
            'remotes.x.kind: there is no kind "pigeon" (line 2); there are azure, folder, ftp, gcs, http, s3, sftp',
        ),
        ('[remotes.x]\nkind = "ftp"\n', "remotes.x.host: missing (line 1)"),
        ('[remotes.x]\nkind = "ftp"\nhost = "h"\nport = 70000\n', "remotes.x.port: wants at most 65535 (line 4)"),
        ('[remotes.x]\nkind = "ftp"\nhost = "h"\nconnections = "four"\n', "remotes.x.connections: wants a whole number (line 4)"),
        ('[remotes.x]\nkind = "ftp"\nhost = "h"\ntimeout = "0s"\n', "remotes.x.timeout: wants more than 0 (line 4)"),
        ('[remotes.x]\nkind = "ftp"\nhost = "h"\nrate = "fast"\n', 'remotes.x.rate: wants a rate such as "5MB/s" (line 4)'),
        ('[remotes.x]\nkind = "ftp"\nhost = ""\n', "remotes.x.host: must not be empty (line 3)"),
        ('[remotes.x]\nkind = "ftp"\nhost = "h"\nusr = "u"\n', 'remotes.x.usr: unknown key (line 4); did you mean "user"?'),
        (
            '[remotes.x]\nkind = "folder"\npath = "x"\nindex = true\n',
            "remotes.x.index: unknown key (line 4); this version of Transload does not have it",
        ),
        (
            '[remotes.x]\nkind = "ftp"\nhost = "h"\npassword = "canary"\n',
            'remotes.x.password: a secret is written as a reference: { env = "NAME" }, { file = "path" } or { command = ["..."] } (line 4)',
        ),
        (
            '[remotes.x]\nkind = "ftp"\nhost = "h"\npassword = { evn = "canary" }\n',
            'remotes.x.password.evn: unknown key (line 4); did you mean "env"?',
        ),
        (
            '[remotes.x]\nkind = "ftp"\nhost = "h"\npassword = { env = "NOT_SET_HERE" }\n',
            "remotes.x.password: the environment variable NOT_SET_HERE is not set (line 4); set it before the start",
        ),
        (
            '[remotes.x]\nkind = "http"\nfiles = { a = "https://x.example/a" }\ncert = "c.pem"\n',
            "remotes.x.cert: c.pem cannot be read: No such file or directory (line 4)",
        ),
        (
            '[remotes.x]\nkind = "ftp"\nhost = "h"\npassword = { file = "keys/none" }\n',
            "remotes.x.password: keys/none cannot be read: No such file or directory (line 4)",
        ),
        # routes
        (
            HEAD + "[[routes]]\n" + ROUTE,
            "routes[0].name: missing (line 13); what the route is called in the ledger, in logs and on the command line",
        ),
        (route(name="a/b"), "routes[a/b].name: wants at most 64 letters, digits, _, . and - (line 15)"),
        (HEAD + '[[routes]]\nname = "a"\nto = [{ remote = "out" }]\n', "routes[a].from: missing (line 13); what is taken"),
        (
            HEAD + '[[routes]]\nname = "a"\nfrom = { remote = "box" }\n',
            'routes[a].to: missing: the route delivers nothing and calls no hook (line 13); write to = [{ remote = "..." }], or on_received',
        ),
        (HEAD + '[[routes]]\nname = "a"\nfrom = "box"\nto = [{ remote = "out" }]\n', "routes[a].from: wants a table, { ... } (line 15)"),
        (HEAD + '[[routes]]\nname = "a"\nfrom = { remote = "box" }\nto = "out"\n', "routes[a].to: wants a list, [ ... ] (line 16)"),
        (HEAD + '[[routes]]\nname = "a"\nfrom = { remote = "box" }\nto = ["out"]\n', "routes[a].to[0]: wants a table, { ... } (line 16)"),
        (route('remote = "box", evry = "15m"'), 'routes[acl].from.evry: unknown key (line 16); did you mean "every"?'),
        (
            route('remote = "web", watch = true'),
            "routes[acl].from.watch: only a folder of this machine can be watched (line 16); leave it away: `every` says how often to look",
        ),
        (
            route('remote = "box", watch = 1'),
            "routes[acl].from.watch: wants true or false (line 16)",
        ),
        (route(more="steps = 1"), "routes[acl].steps: wants a list, [ ... ] (line 18)"),
        (
            route(more="steps = [1]"),
            "routes[acl].steps[0]: wants a table, { ... } (line 18); { kind = ... }, of checksum, command, compress, format, limits, rename, scan, unpack",
        ),
        (route(more='steps = [{ kind = "scna" }]'), 'routes[acl].steps[0].kind: there is no kind "scna" (line 18); did you mean "scan"?'),
        (
            route(more="steps = [{}]"),
            "routes[acl].steps[0].kind: missing (line 18); one of checksum, command, compress, format, limits, rename, scan, unpack",
        ),
        (route(more='steps = [{ kind = "scan" }]'), "routes[acl].steps[0]: wants exactly one of clamd and url (line 18)"),
        (route(more='steps = [{ kind = "limits", max = 3 }]'), 'routes[acl].steps[0].max: unknown key (line 18); did you mean "max_age"?'),
        (
            route(more='steps = [{ kind = "limits", max_size = "much" }]'),
            'routes[acl].steps[0].max_size: wants a size such as "200MB" or "1GiB" (line 18)',
        ),
        (route(more="expect = {}"), "routes[acl].expect: wants by, every, or empty = true (line 18)"),
        (
            route(more='expect = { every = "1h", min_rows = 3 }'),
            'routes[acl].expect.min_rows: wants a step that counts rows (line 18); { kind = "format" }',
        ),
        (route(more='notify = ["ops"]'), 'routes[acl].notify[0]: there is no target "ops" (line 18); [notify.NAME] makes one'),
        (route(more="atempts = 3"), 'routes[acl].atempts: unknown key (line 18); did you mean "attempts"?'),
        (route(more="attempts = 0"), "routes[acl].attempts: wants at least 1 (line 18)"),
        (route(more="attempts = 1.5"), "routes[acl].attempts: wants a whole number (line 18)"),
        (route(more='enabled = "perhaps"'), "routes[acl].enabled: wants true or false (line 18)"),
        (route(more='backoff = { first = "1h" }'), "routes[acl].backoff: first is more than cap (line 18)"),
        (route(more="batch = { files = 1000 }"), "routes[acl].batch.files: wants at most 256 (line 18)"),
        (route(more='after = "delte"'), 'routes[acl].after: wants "keep" or "delete" (line 18); did you mean "delete"?'),
        (route(more='after = { mve = "x", move = "y" }'), 'routes[acl].after.mve: unknown key (line 18); did you mean "move"?'),
        (route(more='after = { move = "../x" }'), 'routes[acl].after.move: wants a folder below `path`, such as "done/" (line 18)'),
        (route(more='after = { move = "" }'), 'routes[acl].after.move: wants a folder below `path`, such as "done/" (line 18)'),
        (
            route(more='after = { move = "{now:%Y}" }'),
            "routes[acl].after.move: takes no fields (line 18); write one folder: what lies there is never listed again",
        ),
        # from
        (route('remote = "bxo"'), 'routes[acl].from.remote: there is no remote "bxo" (line 16); did you mean "box"?'),
        (route('remote = "zzz"'), 'routes[acl].from.remote: there is no remote "zzz" (line 16); write a table [remotes.zzz]'),
        (
            route('remote = "box", match = "(?P<a"'),
            "routes[acl].from.match: is no regular expression: missing >, unterminated name at position 4 (line 16)",
        ),
        (
            route('remote = "box", match = ["*", "[a"]'),
            "routes[acl].from.match[1]: the [ at character 1 has no ]; write [[] for the character [ (line 16)",
        ),
        (route('remote = "box", exclude = ""'), "routes[acl].from.exclude: is empty; * matches every name (line 16)"),
        (
            route('remote = "box", exclude = "[z-a]"'),
            "routes[acl].from.exclude: is no glob: bad character range z-a at position 1 (line 16)",
        ),
        (route('remote = "box", match = []'), "routes[acl].from.match: must not be empty (line 16)"),
        (
            route('remote = "box", marker = "{sha256}.done"'),
            "routes[acl].from.marker: {sha256} is not known before the file is taken (line 16); there are name, stem, suffix, folder",
        ),
        (
            route('remote = "web", marker = "{name}.done"'),
            "routes[acl].from.marker: a web address has no folder to find it in (line 16); write marker in the file's table in [remotes]",
        ),
        (
            route('server = true, marker = "{name}.done"') + '[servers.ftp]\nlisten = "127.0.0.1:2121"\ntls = "off"\n',
            'routes[acl].from.marker: is for what is fetched (line 16); write arrival = { complete = "marker" }: our servers wait for it',
        ),
        (route('remote = "box", match = 3'), "routes[acl].from.match: wants a list, [ ... ] (line 16)"),
        (route('remote = "box", path = "a\\nb"'), "routes[acl].from.path: holds a line break or a NUL (line 16)"),
        (route('remote = "box", path = "{now:%Q}"'), "routes[acl].from.path: {now:%Q}: not a time format; one is %Y-%m-%d (line 16)"),
        (route('remote = "box", settle = "soon"'), 'routes[acl].from.settle: wants a time such as "10m", "1h30m" or "250ms" (line 16)'),
        (
            route('remote = "box", min_size = "10GB", max_size = "1GB"'),
            "routes[acl].from: min_size is more than max_size: no file can be both (line 16)",
        ),
        (
            route('remote = "box", min_age = "10d", max_age = "1d"'),
            "routes[acl].from: min_age is more than max_age: no file can be both (line 16)",
        ),
        (route('remote = "box", depth = 0'), "routes[acl].from.depth: wants at least 1 (line 16)"),
        (route('remote = "box", limit = 0'), "routes[acl].from.limit: wants at least 1 (line 16)"),
        (
            route('remote = "box", order = "newst"'),
            'routes[acl].from.order: wants "oldest", "newest" or "name" (line 16); did you mean "newest"?',
        ),
        (route('remote = "box", every = "0s"'), "routes[acl].from.every: wants more than 0 (line 16)"),
        (route('remote = "box", every = "1m", cron = "* * * * *"'), "routes[acl].from: has both every and cron; leave one away (line 16)"),
        (
            route('remote = "box", cron = "61 * * * *"'),
            'routes[acl].from.cron: wants five fields: minute, hour, day, month, weekday, such as "30 6 * * mon-fri" (line 16)',
        ),
        (route('remote = "box", cron = "0 0 30 2 *"'), "routes[acl].from.cron: is a date that never comes (line 16)"),
        (route('remote = "box", zone = "Europ/London"'), 'routes[acl].from.zone: is no time zone (line 16); did you mean "Europe/London"?'),
        (
            route('remote = "box", zone = "../../etc/passwd"'),
            'routes[acl].from.zone: is no time zone (line 16); write one such as "Europe/London"',
        ),
        # to
        (route(to='{ remote = "uot" }'), 'routes[acl].to[0].remote: there is no remote "uot" (line 17); did you mean "out"?'),
        (route(to='{ remote = "out", nme = "x" }'), 'routes[acl].to[0].nme: unknown key (line 17); did you mean "name"?'),
        (
            route(to='{ remote = "out", only = "raw" }'),
            "routes[acl].to[0].only: unknown key (line 17); this version of Transload does not have it",
        ),
        (route(to='{ remote = "out", name = 3 }'), 'routes[acl].to[0].name: wants a text such as "{folder}/{name}" (line 17)'),
        (
            route(to='{ remote = "out", name = "/{name}" }'),
            "routes[acl].to[0].name: is relative to the remote's path: leave the first / away (line 17)",
        ),
        (
            route(to='{ remote = "out", name = "a/{" }'),
            "routes[acl].to[0].name: a single { stands for nothing; write {{ for the character (line 17)",
        ),
        (
            route(to='{ remote = "out", name = "{nam}" }'),
            'routes[acl].to[0].name: {nam} is neither a field nor a named group of from.match (line 17); did you mean "name"?',
        ),
        (
            route(to='{ remote = "out", marker = "{site}.done" }'),
            "routes[acl].to[0].marker: {site} is neither a field nor a named group of from.match (line 17); write (?P<site>...) in the regex of from.match",
        ),
        (
            route('remote = "box", match = ["(?P<site>.*)x", "*.y"]', '{ remote = "out", name = "{site}" }'),
            "routes[acl].to[0].name: {site} is in only some patterns of from.match (line 17); name it in all of them",
        ),
        (
            route(to='{ remote = "out", conflict = "verson" }'),
            'routes[acl].to[0].conflict: wants "version", "replace" or "fail" (line 17); did you mean "version"?',
        ),
        (route(to='{ remote = "out", verify = "none" }'), 'routes[acl].to[0].verify: wants "size", "hash" or "read-back" (line 17)'),
        (
            route(to='{ remote = "out", id = "a" }, { remote = "box", name = "x/{name}", id = "a" }'),
            'routes[acl].to: two destinations have the id "a" (line 17)',
        ),
        # what only the whole shows
        (
            route() + '[[routes]]\nname = "acl"\n' + ROUTE,
            "routes[acl].name: another route has this name (line 20); name it otherwise: the ledger goes by it",
        ),
        (
            route(to='{ remote = "web" }'),
            'routes[acl].to[0].remote: nothing can be delivered to a remote of kind "http" (line 17); name another remote',
        ),
        (
            route('remote = "web"', more='after = "delete"'),
            'routes[acl].after: nothing can be deleted on a remote of kind "http" (line 18); write after = "keep"',
        ),
        (
            route('remote = "web"', more='after = { move = "x" }'),
            'routes[acl].after: nothing can be moved on a remote of kind "http" (line 18); write after = "keep"',
        ),
        (
            route(to='{ remote = "out", required = false }', more='after = "delete"'),
            "routes[acl].after: would touch the source though no destination is required (line 18); make one required, or keep the source",
        ),
        (
            route(to='{ remote = "box", name = "sent/{name}" }'),
            "routes[acl].to[0].name: delivers into what the route takes from: it would take it again (line 17); deliver elsewhere, or exclude it",
        ),
    ],
)
def test_each_fault_is_one_clear_line(faults, monkeypatch, text, line):
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    found = faults(text if text.endswith("\n") else text + "\n")
    assert [line] == found
    assert "canary" not in "".join(found)


def test_a_file_that_is_not_there_is_named(tmp_path):
    (fault,) = check(tmp_path / "none.toml")
    assert f"{tmp_path}/none.toml: cannot be read: No such file or directory; transload init writes one" == str(fault)


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / "t.toml").write_bytes(b"# caf\xe9\n")
    (fault,) = check(tmp_path / "t.toml")
    assert f"{tmp_path}/t.toml: is not UTF-8 at byte 5; save it as UTF-8" == str(fault)


def test_an_inline_table_over_two_lines_is_explained(faults):
    (line,) = faults(HEAD + '[[routes]]\nname = "a"\nfrom = { remote = "box",\n  path = "x" }\n')
    assert line.endswith("(line 15); an inline table { ... } must stay on one line; a table of its own, [routes.from], need not")


def test_all_faults_are_told_at_once_in_the_order_of_the_file(faults, monkeypatch):
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    found = faults("""
[transload]
dta = "x"

[remotes.a]
kind = "ftp"
prt = 21
password = { env = "NOT_SET_HERE" }

[[routes]]
name = "one"
from = { remote = "b", evry = "1m" }
to = [{ remote = "c", conflict = "x" }]
""")
    assert [
        'transload.dta: unknown key (line 3); did you mean "data"?',
        "remotes.a.host: missing (line 5)",
        'remotes.a.prt: unknown key (line 7); did you mean "port"?',
        "remotes.a.password: the environment variable NOT_SET_HERE is not set (line 8); set it before the start",
        'routes[one].from.evry: unknown key (line 12); did you mean "every"?',
        'routes[one].from.remote: there is no remote "b" (line 12); write a table [remotes.b]',
        'routes[one].to[0].conflict: wants "version", "replace" or "fail" (line 13)',
        'routes[one].to[0].remote: there is no remote "c" (line 13); write a table [remotes.c]',
    ] == found


def pair(first: str, second: str, one: str = "", other: str = "") -> str:
    return route(first, more=one, name="first") + (
        f'[[routes]]\nname = "second"\nfrom = {{ {second} }}\nto = [{{ remote = "out", name = "second/{{name}}" }}]\n{other}\n'
    )


DELETE = 'after = "delete"'
SAME = 'routes[second].from: may take the same files as the route "first"'


@pytest.mark.parametrize(
    ("first", "second", "one", "other", "faulty"),
    [
        ('remote = "box"', 'remote = "box"', "", "", False),
        ('remote = "box"', 'remote = "box"', DELETE, "", True),
        ('remote = "box"', 'remote = "box"', "", DELETE, True),
        ('remote = "box", path = "a"', 'remote = "box", path = "b"', DELETE, "", False),
        ('remote = "box", path = "a"', 'remote = "box", path = "ab"', DELETE, "", False),
        ('remote = "box", path = "a"', 'remote = "box", path = "./a/"', DELETE, "", True),
        ('remote = "box", path = "a/b"', 'remote = "box", path = "a"', DELETE, "", True),
        ('remote = "box", path = "a/b"', 'remote = "box", path = "a", recursive = false', DELETE, "", False),
        ('remote = "box", match = "*.csv"', 'remote = "box", match = "*.xml"', DELETE, "", False),
        ('remote = "box", match = "*.csv"', 'remote = "box", match = "a*"', DELETE, "", True),
        ('remote = "box", match = "(?i).*\\\\.csv"', 'remote = "box", match = "(?i).*\\\\.xml"', DELETE, "", True),
        ('remote = "box", match = "(?i).*x"', 'remote = "box", exclude = "(?i).*x"', DELETE, "", False),
        ('remote = "box"', 'remote = "box", path = "x"', DELETE, "enabled = false", False),
    ],
)
def test_two_routes_take_the_same_files_only_if_both_keep_them(faults, first, second, one, other, faulty):
    found = faults(pair(first, second, one, other))
    assert faulty == bool(found)
    assert all(line.startswith(SAME) for line in found)


@pytest.mark.parametrize(
    ("source", "name", "faulty"),
    [
        ("", "sent/{name}", True),
        ("", "{folder}/{name}", True),
        (', path = "in"', "sent/{name}", False),
        (', path = "in"', "in/sent/{name}", True),
        (', path = "in", recursive = false', "in/sent/{name}", False),
        (", recursive = false", "{now:%Y}/{name}", False),
        (', exclude = "sent/*"', "sent/{name}", False),
        (', match = "*.csv"', "{stem}.json", False),
        (', match = "*.csv"', "{stem}.csv", True),
        (', exclude = "(?i).*\\\\.json"', "{stem}.json", False),
    ],
)
def test_a_route_does_not_feed_itself(faults, source, name, faulty):
    found = faults(route(f'remote = "box"{source}', f'{{ remote = "box", name = "{name}" }}'))
    assert faulty == bool(found)


def test_the_lines_of_a_config_with_every_kind_of_toml_are_right(tmp_path):
    from transload.config.lines import lines

    text = (
        "a = \"#[\" # c\n\n\"b.c\".d = '''x\n[t]\n'''\n[t.u]\nk = [ 1,\n  { x = \"}\", y = 2 },\n]\n"
        '[[r]]\nn = """\n"""\n[r.s]\nz = 2026-01-01 07:32:00\n[[r]]\nn = 1\n[[r.q]]\nm.o = true\n'
    )
    found = lines(text)
    assert {
        ("a",): 1,
        ("b.c", "d"): 3,
        ("t", "u", "k"): 7,
        ("t", "u", "k", 1, "y"): 8,
        ("r", 0): 10,
        ("r", 0, "n"): 11,
        ("r", 0, "s", "z"): 14,
        ("r", 1): 15,
        ("r", 1, "n"): 16,
        ("r", 1, "q", 0, "m", "o"): 18,
    }.items() <= found.items()


def test_faults_raised_together_are_one_error():
    error = ConfigFaults([Fault("a", "missing"), Fault("b", "unknown key", "there is c", 3)])
    assert "a: missing\nb: unknown key (line 3); there is c" == str(error)
    assert 2 == len(error.faults)


def test_nothing_near_is_nothing_meant():
    assert "" == meant("xyz", ["host"])
    assert 'did you mean "Europe/London"?' == meant("europe/london", ["Europe/London"])
