"""Writes what is generated: reference/config.md from the schema, reference/commands.md from --help, run.svg from a real run.

`make docs` runs it; `python docs/generate.py --check` says whether the two references are up to date.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from transload.cli.base import application
from transload.config import schema
from transload.units import show_duration

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
KINDS = {"10m": "time", "200MB": "size", "5MB/s": "rate", "{now:%Y/%m/%d}/{name}": "template"}
TABLES = (
    ("[transload]", "Settings", "Where things lie, and how the program behaves as a whole."),
    ("spool, in [transload]", "SpoolSettings", ""),
    ("log, in [transload]", "LogSettings", ""),
    ("[quarantine]", "QuarantineSettings", ""),
    ("alerts, in [transload]", "AlertSettings", ""),
    ("[notify.NAME]", "Target", ""),
    ("[servers]", "Servers", "Our own servers."),
    ("[servers.ftp]", "FtpServer", "FTP, and FTPS explicit and implicit."),
    ("[servers.sftp]", "SftpServer", "SFTP."),
    ("bans, in [servers]", "Bans", ""),
    ("[users.NAME]", "User", ""),
    ("limits, in [users.NAME]", "Limits", ""),
    ("[[routes]]", "Route", ""),
    ("from, in [[routes]]", "From", ""),
    ("to, in [[routes]]", "To", ""),
    ("on_received, in [[routes]]", "Hook", ""),
    ("arrival, in [[routes]] and [users.NAME]", "Arriving", ""),
    ("after, in [[routes]]", "Move", ""),
    ("expect, in [[routes]]", "Expect", ""),
    ("backoff, in [[routes]]", "Backoff", ""),
    ("batch, in [[routes]]", "Batch", ""),
    ("A secret", "Secret", "One of these; never the secret itself."),
)
STEPS = ("checksum", "command", "compress", "format", "limits", "rename", "scan", "unpack")
REMOTES = ("folder", "ftp", "sftp", "http", "s3", "azure", "gcs")
PARTS = (("files, of http", "HttpFile"), ("jump, of sftp", "Jump"), ("algorithms, of sftp", "Algorithms"))
HEAD = """\
# Every key of transload.toml

Generated from the program's own schema by `make docs`; `transload schema` prints that for editors. Unknown keys are refused.
Relative paths are relative to the file. A *time* is written "10m" ("500ms", "2h", "7d"), a *size* "200MB", a *rate* "5MB/s".
"""


def config() -> str:
    """The reference of the config."""
    whole = schema()["$defs"]
    text = [HEAD]
    for title, name, told in TABLES:
        text += _section(title, whole[name], told)
    for kind in REMOTES:
        one = next(model for model in whole.values() if model.get("properties", {}).get("kind", {}).get("const") == kind)
        text += _section(f'[remotes.NAME] with kind = "{kind}"', one, "")
    for kind in STEPS:
        one = next(model for model in whole.values() if model.get("properties", {}).get("kind", {}).get("const") == kind)
        text += _section(f'steps, in [[routes]], with kind = "{kind}"', one, "")
    for title, name in PARTS:
        text += _section(title, whole[name], "")
    return "\n".join(text).rstrip() + "\n"


def _section(title: str, model: dict[str, Any], told: str) -> list[str]:
    text = told or model.get("description", "").partition("\n")[0]
    lines = [f"## {title}", *([text, ""] if text else []), "| key | value | default | |", "|---|---|---|---|"]
    required = set(model.get("required", ()))
    for key, facts in sorted(model["properties"].items(), key=lambda item: item[0] not in required):
        if key != "kind":
            lines.append(
                f"| `{key}` | {_kind(facts)} | {_default(facts, needed=key in required)} | {_cell(facts.get('description', ''))} |"
            )
    return [*lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _kind(facts: dict[str, Any]) -> str:
    """What may be written there."""
    for example in facts.get("examples", ()):
        if example in KINDS:
            return KINDS[example]
    if "enum" in facts:
        return ", ".join(f'`"{one}"`' for one in facts["enum"])
    if "$ref" in facts:
        name = facts["$ref"].rpartition("/")[2]
        return {"Secret": "a secret", "Move": '`{ move = "done/" }`'}.get(name, "a table")
    several = facts.get("anyOf") or facts.get("oneOf")
    if several:
        return " or ".join(dict.fromkeys(_kind(one) for one in several if one.get("type") != "null"))
    if facts.get("type") == "array":
        return f"list of {_kind(facts.get('items', {}))}"
    if facts.get("format") == "path":
        return "path"
    return {"string": "text", "integer": "number", "number": "number", "boolean": "true, false", "object": "table"}.get(
        facts.get("type", ""), ""
    )


def _default(facts: dict[str, Any], *, needed: bool) -> str:
    if needed:
        return "*needed*"
    value, kind = facts.get("default"), _kind(facts)
    if value in (None, "", [], {}) or (isinstance(value, dict) and "text" not in value):
        return ""
    if isinstance(value, dict):
        value = value["text"]
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if kind == "time":
        return f'`"{show_duration(value)}"`'
    if kind == "size":
        return f'`"{_size(value)}"`'
    if isinstance(value, list):
        return _cell(", ".join(f'`"{one}"`' for one in value if one))
    return f"`{value}`" if isinstance(value, int | float) else _cell(f'`"{value}"`')


def _size(count: int) -> str:
    unit, name = next((unit, name) for unit, name in ((10**9, "GB"), (2**20, "MiB"), (1, "")) if count % unit == 0)
    return f"{count // unit}{name}"


def commands() -> str:
    """The reference of the commands: what --help says of each."""
    text = ["# Every command\n\nGenerated from `--help` by `make docs`.\n", _told("transload")]
    for name in _listed("transload"):
        below = list(_listed("transload", name)) if name in ("user", "ban", "quarantine", "db") else []
        text.append(_told("transload", name))
        text += [_told("transload", name, part) for part in below]
    return "\n".join(text)


def _help(*words: str) -> str:
    told = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS="100", NO_COLOR="1"), redirect_stdout(told):
        code = application([*words[1:], "--help"])
    if code:
        raise SystemExit(code)
    return told.getvalue().rstrip()


def _listed(*words: str) -> Iterator[str]:
    _, _, below = _help(*words).partition("Commands:\n")
    yield from re.findall(r"^  (\w+) ", below, re.MULTILINE)


def _told(*words: str) -> str:
    return f"## {' '.join(words)}\n```text\n{_help(*words)}\n```\n"


SPEED = """\
# How fast is it?

Measured by `make bench` and written here by `make docs`; no figure on this page was typed by hand. The same work is done by Transload and
by another program in turn, after a warm-up; medians of whole processes, from start to exit, over loopback, data in memory. After every
run what arrived is compared with the source. Ours does more in that time: SHA-256 of every byte, and a ledger entry for every file, both
durable before a file counts as received. *The step alone* is the time from the first batch of a route's steps to the last, within such a
process: what the step makes is spooled, hashed, synced and written into the ledger, but not delivered.

A ratio below 1 means that Transload is faster; the goal is what we want to reach, reached or not. *Load* is the load average before and
after: above the number of cores, other work ran beside, and everything took longer.
{table}

{machine}
"""


def speed() -> str:
    """What the bench found, as it was found."""
    told = json.loads((HERE / "speed.json").read_text())
    lines = ["", "| | work | Transload | beside | | ratio | goal | memory | load |", "|---|---|---|---|---|---|---|---|---|"]
    for name, bench in told.items():
        lines += [f"| {name} | {_line(row)} | {bench['machine']['load']} |" for row in bench["rows"]]
    machines = {f"{bench['machine']['cores']} cores, Python {bench['machine']['python']}" for bench in told.values()}
    pairs = ", ".join(f"{name} {bench['pairs']}" for name, bench in told.items())
    return SPEED.format(table="\n".join(lines), machine=f"{'; '.join(sorted(machines))}. Runs of each: {pairs}.")


def _line(row: dict[str, Any]) -> str:
    theirs = "" if row["theirs"] is None else f"{row['theirs']:.2f} {row['unit']}"
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    word = {True: "reached", False: "missed", None: ""}[row["reached"]]
    goal = "" if row["goal"] is None else f"{row['goal']:g} {row['goal_unit']} {word}".replace("  ", " ")
    memory = "" if row["memory"] is None else f"{row['memory']:.0f} MB"
    return f"{row['work']} | {row['ours']:.2f} {row['unit']} | {theirs} | {row['peer']} | {ratio} | {goal} | {memory}"


def picture() -> str:
    """A real run against the demo's partners, drawn."""
    from rich.console import Console
    from rich.text import Text

    from transload.demo import setting
    from transload.demo.partners import Partners

    console = Console(record=True, width=124, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as folder, Partners(Path(folder), azure=False) as partners:
        setting.write(partners)
        for words in (("run",), ("run",), ("ls", "--limit", "4"), ("trace", "3"), ("status",)):
            console.print(Text(f"$ transload {' '.join(words)}", style="bold green"))
            done = subprocess.run([BIN / "transload", *words], cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"transload {' '.join(words)}: {done.stdout}{done.stderr}")
            console.print(Text(done.stdout))
    drawn = console.export_svg(title="transload")
    # The fonts would be fetched from elsewhere; a reader's own will do.
    drawn = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->", "", drawn, flags=re.DOTALL)
    return drawn.replace("Fira Code", "monospace")


def main() -> int:
    """Write them all, or with --check compare."""
    made = {"reference/config.md": config(), "reference/commands.md": commands(), "speed.md": speed()}
    if "--check" in sys.argv:
        stale = [name for name, text in made.items() if (HERE / name).read_text() != text]
        print(f"not up to date: {', '.join(stale)}; make docs" if stale else "up to date")
        return 1 if stale else 0
    (HERE / "reference").mkdir(exist_ok=True)
    for name, text in made.items():
        (HERE / name).write_text(text)
    (HERE / "run.svg").write_text(picture())
    return 0


if __name__ == "__main__":
    sys.exit(main())
