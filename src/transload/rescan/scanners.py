"""What looks again: the scan steps of routes; and the bytes that it looks at."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from transload import disk
from transload.errors import Busy, Missing, TransloadError, Unreachable
from transload.model import Name
from transload.quarantine import Vault
from transload.spool import Spool
from transload.steps import FileView, Verdict
from transload.steps.scan import Scan
from transload.workplace import node_of, vault_of

if TYPE_CHECKING:
    from transload.config import Config
    from transload.ledger import Ledger
    from transload.ledger.rescans import Known


class Judged(NamedTuple):
    """What was found: "clean", "infected" (`told` is the signature), "unknown" (`told` says why) or "gone", with no bytes to look at.

    `fresh` is what the scanners said now; `away` says that it is unknown because one of them does not answer at all.
    """

    found: str
    told: str = ""
    fresh: Sequence[Verdict] = ()
    away: bool = False


class Store:
    """The bytes of one node, in its spool or its quarantine."""

    def __init__(self, node: str, spool: Spool, vault: Vault, folder: Path) -> None:
        """`folder` is where a copy of what the quarantine gives may lie for a moment, without a name."""
        self.node, self._spool, self._vault, self._folder = node, spool, vault, folder

    @classmethod
    @contextmanager
    def opened(cls, config: Config) -> Iterator[Store]:
        """The bytes in the data folder of this machine."""
        with Spool(config.data / "spool", min_free=config.spool.min_free, keep=config.spool.keep) as spool:
            yield cls(node_of(config.data), spool, vault_of(config), config.data)

    @contextmanager
    def lying(self, sha256: str) -> Iterator[Path]:
        """Where these bytes can be read meanwhile; Missing when they are gone, and what the quarantine says of its copy."""
        path = Path(self._spool.path(sha256))
        if path.exists():
            yield path
            return
        with self.kept_apart(sha256) as path:
            yield path

    @contextmanager
    def kept_apart(self, sha256: str) -> Iterator[Path]:
        """The same of the quarantine's own copy."""
        with tempfile.TemporaryFile(dir=self._folder) as file:
            for block in self._vault.read(sha256):
                file.write(block)
            file.flush()
            yield Path(f"/proc/self/fd/{file.fileno()}")


class Scanners:
    """The scan steps of routes, and what the scanners of all of them say they are."""

    def __init__(self, config: Config, ledger: Ledger, beat: Callable[[], None] = lambda: None) -> None:
        """`beat` is called every second or so while a scanner is waited for."""
        self._config, self._ledger, self._beat = config, ledger, beat
        self._routes = {route.name: _scans(route.steps) for route in config.routes}
        self._recipes: dict[str, tuple[Scan, ...]] = {}
        self._facts: dict[Scan, Mapping[str, str]] = {}
        self._away: dict[Scan, str] = {}

    def of(self, route: str, recipe: str | None) -> tuple[Scan, ...]:
        """The scan steps that the route has now, else those that a file was received under."""
        return self._routes.get(route) or (self._of_recipe(recipe) if recipe else ())

    def _of_recipe(self, digest: str) -> tuple[Scan, ...]:
        if digest not in self._recipes:
            tables = self._ledger.processing.recipe(digest)
            context = {"folder": self._config.file.parent}
            try:
                scans = [Scan.model_validate(table, context=context) for table in tables if table.get("kind") == "scan"]
            except ValueError:
                # Of another version of this program: there is no such scan any more.
                scans = []
            self._recipes[digest] = tuple(dict.fromkeys(scans))
        return self._recipes[digest]

    def any(self, route: str | None) -> bool:
        """Whether there is a scan step at all, in that route (any, if None) or in a recipe."""
        mine = [scans for name, scans in self._routes.items() if route in (None, name)]
        return any(mine) or any(self._of_recipe(digest) for digest in self._ledger.rescans.recipes())

    def ask_who(self, scans: Sequence[Scan]) -> None:
        """Hear from these what they are now; one that does not answer is not asked again."""
        for scan in scans:
            if scan not in self._away:
                try:
                    self._facts[scan] = scan.facts(self._beat)
                except TransloadError as error:
                    self._away[scan] = _bare(error)

    @property
    def facts(self) -> list[Mapping[str, str]]:
        """What those that answered are, each once."""
        return list({tuple(sorted(facts.items())): facts for facts in self._facts.values()}.values())

    def wanted(self, scans: Sequence[Scan], known: Sequence[Known], *, again: bool) -> list[Scan]:
        """Those of `scans` that have not said of these bytes what they would say now; none where they are infected already."""
        if any(one.found == "infected" for one in known):
            return []
        clean = [one.facts for one in known if one.found == "clean"]
        return [scan for scan in scans if again or not self._is_current(scan, clean)]

    def _is_current(self, scan: Scan, clean: Sequence[Mapping[str, str]]) -> bool:
        facts = self._facts.get(scan)
        return bool(facts and facts["signatures"]) and facts in clean

    def judge(self, file: FileView, scans: Sequence[Scan]) -> Judged:
        """What these say of it, one after another: infected if one says so, clean if all do, else unknown. Missing when it is gone."""
        fresh, away, why = [], False, ""
        for scan in scans:
            try:
                fresh.append(self._ask(scan, file))
            except Missing:
                raise
            except TransloadError as error:
                away, why = away or isinstance(error, Unreachable), why or _bare(error)
            if fresh and fresh[-1].found != "clean":
                return Judged("infected", fresh[-1].facts["signature"], fresh)
        return Judged("unknown", why, fresh, away) if why else Judged("clean", fresh=fresh)

    def _ask(self, scan: Scan, file: FileView) -> Verdict:
        if scan in self._away:
            raise Unreachable(self._away[scan])
        try:
            return scan.verdict(file, self._beat)
        except Unreachable as error:
            # Is it away, or is it this file that it takes too long over? That must not stand in the way of all others, each time.
            self.ask_who([scan])
            if scan in self._away:
                raise
            raise Busy(f"{error}, and answers otherwise: raise timeout") from error
        except FileNotFoundError as error:
            raise Missing(str(file.path)) from error
        except OSError as error:
            raise disk.told(error, str(file.path)) from error


def _bare(error: TransloadError) -> str:
    """Why it was not scanned, without saying that it was not."""
    return str(error).removeprefix("not scanned: ")


def view(arrival: int, route: str, size: int, sha256: str, path: Path) -> FileView:
    """Bytes as a scan wants them: their name is nothing to it."""
    return FileView(arrival, route, Name(sha256), size, sha256, path)


def signature(facts: Mapping[str, str]) -> str:
    """What a verdict of "infected" calls it."""
    return facts.get("signature", "found by an earlier scan")


def _scans(steps: Sequence[object]) -> tuple[Scan, ...]:
    return tuple(dict.fromkeys(step for step in steps if isinstance(step, Scan)))
