"""What the linters cannot say: gates over the source, the lock, and the papers."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import transload

HOUSE = Path(__file__).resolve().parents[1]
SOURCES = sorted((HOUSE / "src").rglob("*.py"))
PYPROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())
LOCKED = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (HOUSE / "requirements.lock").read_text(), re.MULTILINE))
MOST_LINES = 300
TWO_PAGES = 130

# In pieces, so that this file does not name them.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("debian", "org"),
        ("ubuntu", "com"),
        ("crates", "io"),
        ("golang", "org"),
    )
)
UNWELCOME_IMPORTS = {"pickle", "cPickle", "dill", "marshal", "shelve", "telnetlib"}
UNWELCOME_CALLS = {"eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
UNWELCOME_NAMES = {"manager", "handler", "helper", "helpers", "utils", "util", "common", "service", "processor", "misc", "job", "task"}


def short(path: Path) -> str:
    return str(path.relative_to(HOUSE))


def tracked() -> list[Path]:
    """Every file that git keeps, also for a user who does not own the folder."""
    told = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=HOUSE, check=True, capture_output=True).stdout
    return [path for name in told.decode().split("\0") if name and (path := HOUSE / name).is_file()]


def unwelcome(source: str) -> list[str]:
    """What may not be in the source, with its line: code from data, shells, and unsafe parsers."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] in UNWELCOME_IMPORTS]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module and node.module.split(".")[0] in UNWELCOME_IMPORTS else []
        elif isinstance(node, ast.Call):
            names = [called for called in [ast.unparse(node.func)] if called in UNWELCOME_CALLS]
            names += ["shell=True" for word in node.keywords if word.arg == "shell" and ast.unparse(word.value) != "False"]
        found += [f"line {node.lineno}: {name}" for name in names]  # type: ignore[attr-defined]
    return found


def test_no_source_makes_code_of_data_or_starts_a_shell():
    assert [] == [f"{short(path)}, {fault}" for path in SOURCES for fault in unwelcome(path.read_text())]


def test_the_gate_finds_what_it_is_for():
    bad = "import pickle\nfrom marshal import loads\neval('1')\nos.system('ls')\nyaml.load(x)\nrun(shell=True)\nrun(shell=yes)\n"
    assert [1, 2, 3, 4, 5, 6, 7] == [int(fault.split()[1].rstrip(":")) for fault in unwelcome(bad)]
    assert unwelcome("re.compile('x')\nyaml.safe_load(x)\nmodel.eval()\nrun(['ls'], shell=False)\n") == []


def test_every_module_says_what_it_is():
    assert [] == [short(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]


def test_no_module_is_so_long_that_it_wants_to_become_two():
    lengths = {short(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {} == {path: length for path, length in lengths.items() if length > MOST_LINES}


def test_no_module_has_a_name_that_says_nothing():
    assert [] == [short(path) for path in SOURCES if UNWELCOME_NAMES & set(path.stem.lower().split("_"))]


def test_every_public_name_is_there():
    for name in getattr(transload, "__all__", ()):  # their order is ruff's to check
        assert hasattr(transload, name), name


def test_no_kept_file_names_a_package_registry():
    assert [] == [
        f"{short(path)}: {host}"
        for path in tracked()
        for content in [path.read_bytes().lower()]
        for host in REGISTRIES
        if host.encode() in content
    ]


def test_the_lock_has_a_hash_for_every_package_and_no_address():
    text = (HOUSE / "requirements.lock").read_text()
    assert "://" not in text
    assert [] == [line for line in text.splitlines() if line.startswith("-")]
    assert [] == [block.split("==")[0] for block in re.split(r"\n(?=\S)", text.strip()) if "--hash=sha256:" not in block]


def wanted() -> list[str]:
    groups = PYPROJECT["dependency-groups"].values()
    return PYPROJECT["project"]["dependencies"] + [one for group in groups for one in group if isinstance(one, str)]


def test_the_lock_holds_what_pyproject_wants():
    locked = {canonicalize_name(name): version for name, version in LOCKED.items()}
    lacking = [
        str(want)
        for want in map(Requirement, wanted())
        if not want.specifier.contains(locked.get(canonicalize_name(want.name), "0"), prereleases=True)
    ]
    assert [] == lacking, "run `make lock`"


def drawn() -> list[str]:
    """The lines of the picture of the floors."""
    picture = re.search(r"^## Floors\n.*?^```\n(.*?)^```", (HOUSE / "ARCHITECTURE.md").read_text(), re.MULTILINE | re.DOTALL)
    assert picture is not None
    return picture[1].splitlines()


def test_architecture_draws_the_floors_that_are_enforced():
    contract = PYPROJECT["tool"]["importlinter"]["contracts"][0]
    enforced = [re.findall(r"\w+", layer) for layer in contract["layers"]]
    assert enforced == [re.findall(r"\w+", re.split(r"\s{2,}", line)[0]) for line in drawn()]


def test_architecture_fits_on_two_pages():
    assert len((HOUSE / "ARCHITECTURE.md").read_text().splitlines()) <= TWO_PAGES
