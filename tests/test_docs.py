from __future__ import annotations

import base64
import importlib.util
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.roomy import roomy
from transload.config import check

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if "```" in path.read_text())
BIN = Path(sys.executable).parent
SECRET = base64.b64encode(b"secret-of-a-page, of 32 letters.").decode()


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def written(page: Path, folder: Path) -> tuple[Path, dict[str, str]]:
    """The page's config in a folder, and the environment that it asks for."""
    text = "\n".join(blocks(page, "toml"))
    for name in re.findall(r'\{ file = "(.*?)" \}', text):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(SECRET)
        (folder / name).chmod(0o600)
    file = folder / "transload.toml"
    file.write_text(roomy(text))
    needed = re.findall(r'\{ env = "(\w+)" \}', text)
    told = {"DATABASE": "postgresql://localhost/page", "SLACK_URL": f"slack://{'A' * 9}/{'B' * 11}/{'C' * 24}/#feeds"}
    return file, {name: next((told[end] for end in told if name.endswith(end)), SECRET) for name in needed}


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # a part of Apprise for signed mail
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=lambda page: page.stem)
def test_the_config_of_every_page_is_without_a_fault(page, tmp_path, monkeypatch):
    file, env = written(page, tmp_path)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert [] == [str(fault) for fault in check(file)]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=lambda page: page.stem)
def test_the_commands_of_every_page_work_one_after_the_other(page, tmp_path):
    _, secrets = written(page, tmp_path)
    env = {key: value for key, value in os.environ.items() if not key.startswith("TRANSLOAD_")} | secrets
    env["PATH"] = f"{BIN}{os.pathsep}{env['PATH']}"
    script = "set -euxo pipefail\n" + "\n".join(blocks(page, "sh"))
    told = tmp_path.with_name(f"{tmp_path.name}.told")
    with told.open("w") as file:
        shell = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=env, stdout=file, stderr=file, start_new_session=True)
        try:
            code = shell.wait(50)
        finally:
            # A page that fails half way may leave an `up` behind.
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    assert 0 == code, told.read_text(errors="replace")


@pytest.mark.parametrize("made", ["config", "commands", "speed"])
def test_what_is_generated_is_up_to_date(made, generate):
    page = ROOT / "docs" / ("speed.md" if made == "speed" else f"reference/{made}.md")
    assert getattr(generate, made)() == page.read_text(), "make docs"


def test_every_page_is_found_from_the_index_and_every_link_leads_somewhere():
    index = (ROOT / "docs" / "README.md").read_text()
    assert [] == [page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md" and f"({page.name})" not in index]
    pages = [ROOT / "README.md", ROOT / "examples" / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in link]
    assert [] == [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]


def test_every_command_stands_in_the_reference():
    told = (ROOT / "docs" / "reference" / "commands.md").read_text()
    names = re.findall(r"^  (\w+) ", told.partition("Commands:\n")[2].partition("```")[0], re.MULTILINE)
    assert {"run", "up", "ls", "trace"} < set(names)
    assert [] == [name for name in names if f"## transload {name}\n" not in told]


def test_the_picture_fetches_nothing_from_elsewhere():
    drawn = (ROOT / "docs" / "run.svg").read_text()
    assert {"http://www.w3.org/2000/svg"} == set(re.findall(r"https?://[^\"'<> )]+", drawn))


def test_every_figure_of_the_readme_was_measured():
    page = (ROOT / "README.md").read_text()
    measured = (ROOT / "docs" / "speed.md").read_text()
    figures = re.findall(r"\d+(?:\.\d+)? (?:s|ms|MB|times)\b", page)
    assert [] == [figure for figure in figures if figure not in measured]
