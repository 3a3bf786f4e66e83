"""The demo as it is told: each command as a user would type it, what it said, and what was then found on the other side."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from transload.demo import files, gating, inspection, receiving, setting
from transload.demo.inspection import Found
from transload.demo.partners import Partners
from transload.errors import TransloadError
from transload.units import show_duration

Say = Callable[[str], None]
_CORRECTED = b"hash#1.csv"
_PATIENCE = 120.0


class Story:
    """One playing of the demo, in a temporary folder that is removed at the end."""

    def __init__(self, say: Say) -> None:
        """`say` prints a line."""
        self.say = say
        self.faults: list[str] = []
        self._chapters = 0

    def play(self, *, stay: bool = False) -> bool:
        """Play it; True when all came out right. `stay` keeps everything up afterwards until Ctrl-C."""
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="transload-demo-", ignore_cleanup_errors=True) as folder:
            place = Path(folder)
            with Partners(place) as partners:
                setting.write(partners)
                if partners.azure:
                    inspection.open_container(partners)
                self._played(partners)
                self._verdict(time.monotonic() - begun)
                if stay:
                    self._stay(place)
        return not self.faults

    def _played(self, partners: Partners) -> None:
        self._introduce(partners)
        wanted = inspection.at_sources(partners)
        self._killed(partners, wanted)
        self._finished(partners)
        self._nothing_new(partners)
        self._corrected(partners, wanted)
        self._told(partners)
        self._compared(partners, wanted)
        self._received(partners.place)
        self._gated(partners.place)

    def _gated(self, place: Path) -> None:
        self._chapter("A partner sends a virus, in every wrapping: scanned by a real clamd, opened, kept apart, told once")
        program = gating.clamd()
        if program is None:
            self.say("   (left out: clamd is not installed here; Debian has it as clamav-daemon)")
            return
        with gating.Gate(place, program) as gate:
            self._expect(self._command(gate.folder, "run") == 1, "a run that found a virus was to end with 1")
            self._expect(self._command(gate.folder, "quarantine", "ls") == 0, "quarantine ls failed")
            heard = gate.heard()
            for line in "\n".join(heard).splitlines():
                self.say(f"   somebody hears: {line}")
            self._expect(gate.delivered() == gate.good, "at the destination there was to be what is clean, and nothing else")
            self._expect(len(heard) == 1 and all(name in heard[0] for name in gate.bad), "each was to be told, once")
            self._expect(self._command(gate.folder, "run") == 1, "a second run was to find the same")
            self._expect(gate.heard() == heard, "nothing was to be told twice")
        self.say("   the clean ones are delivered; the locked one waits: nobody could look into it")

    def _received(self, place: Path) -> None:
        self._chapter("A logger uploads to our own FTP server: x.$$$ first, then renamed to x.csv")
        site, data = receiving.Site(place, _transload("up"), _plain()), receiving.readings()
        self.say("   $ transload up")
        try:
            site.up()
            with site.logger() as logger:
                self.say(f"   STOR {receiving.TEMPORARY:<28} {receiving.sent(logger, receiving.TEMPORARY, data)}")
            site.cut(data)
            self.say(f"   STOR {receiving.CUT:<28} cut off in the middle: the logger's line broke")
            self.say(f"   $ kill -9 {site.end(signal.SIGKILL)}")
            self.say("   $ transload up")
            site.up()
            with site.logger() as logger:
                self.say(f"   RNTO {receiving.NAME:<28} {logger.rename(receiving.TEMPORARY, receiving.NAME)}")
            self._expect(site.wait(), "the function was not told, or the file is not in the folder of its site")
        finally:
            site.end()
        for line in site.told():
            self.say(f"   on_received was called: id {line[0]}, {line[1]}, {line[2]} bytes, from {line[4]} at {line[5]}")
        self._expect(site.whole(data), "the function was to be told once, and sites/Tartu/raw to hold that one file")
        self.say("   once, over a kill -9; the file is in sites/Tartu/raw, whole; the one that was cut did not count")

    def _introduce(self, partners: Partners) -> None:
        self._chapter("Three partners have files, with names as they are in real life")
        for kind, route in setting.ROUTES.items():
            held = files.held(partners.root(kind))
            self.say(f"   {route:<9} {kind:<5} port {partners.ports[kind]:<6} {len(held):>4} files")
        shown = [files.AWKWARD[1], files.AWKWARD[5], files.AWKWARD[9], files.AWKWARD[17], files.LINES[0], files.RAW[0]]
        self.say("   some of them: " + "  ".join(repr(name.decode("utf-8", "surrogateescape")) for name in shown))
        where = {"archive": "a folder", "warehouse": "a folder on an FTPS server", "lake": "an S3 bucket", "cloud": "an Azure container"}
        there = setting.destinations(partners)
        self.say(f"   each is owed to {', '.join(where[one] for one in there)}: {', '.join(there)} in transload.toml")
        self.say("   (but for the one with a line end in its name: FTP cannot say that, so it does not go to the FTPS server)")
        if not partners.azure:
            self.say("   (no Azure: Azurite is not installed here; `make peers` fetches it where npm is)")
        if self._command(partners.place, "check") != 0:
            raise TransloadError("the demo's own config has a fault")

    def _killed(self, partners: Partners, wanted: inspection.Held) -> None:
        self._chapter("A first run, killed in the middle with kill -9")
        enough = len(wanted) // 3
        self.say("   $ transload run")
        process = subprocess.Popen(
            _transload("run"), cwd=partners.place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_plain()
        )
        until = time.monotonic() + _PATIENCE
        while process.poll() is None and time.monotonic() < until and _count(partners.place / "archive") < enough:
            time.sleep(0.005)
        process.kill()
        code = process.wait()
        self._expect(code == -signal.SIGKILL, f"the run was to be killed in the middle, but ended by itself with {code}")
        self.say(f"   $ kill -9 {process.pid}")
        found = inspection.look(partners, wanted)
        self._table(found)
        self._expect(all(one.harmless for one in found), "after the kill, half a file was visible at a destination")
        self._expect(any(one.missing for one in found), "the kill came too late: everything was there")
        self.say("   what is visible is whole; the rest is not there yet")

    def _finished(self, partners: Partners) -> None:
        self._chapter("Started again: it goes on where it was")
        self._expect(self._command(partners.place, "run") == 0, "the run after the kill did not end well")

    def _nothing_new(self, partners: Partners) -> None:
        self._chapter("And again: nothing is new, so nothing is fetched")
        before = {kind: partners.sent(kind) for kind in setting.ROUTES}
        self._expect(self._command(partners.place, "run") == 0, "the run with nothing new did not end well")
        asked = sum(partners.sent(kind) - before[kind] for kind in setting.ROUTES)
        self.say(f"   by the partners' own journals, {asked} files were asked for")
        self._expect(asked == 0, f"the run with nothing new asked for {asked} files")

    def _corrected(self, partners: Partners, wanted: dict[bytes, bytes]) -> None:
        route = setting.ROUTES["sftp"]
        shown = f"{route}:{_CORRECTED.decode()}"
        self._chapter(f"The carrier corrects a file ({_CORRECTED.decode()}): it is fetched as version 2, and the first stays")
        before = partners.sent("sftp")
        files.correct(partners.root("sftp"), "sftp", _CORRECTED)
        self._expect(self._command(partners.place, "run", route) == 0, "the run after the correction did not end well")
        self._expect(partners.sent("sftp") - before == 1, "the corrected file was to be fetched once")
        second = _CORRECTED.replace(b".csv", b".v2.csv")
        wanted[f"{route}/".encode() + second] = files.held(partners.root("sftp"))[_CORRECTED]
        self._expect(self._command(partners.place, "explain", shown) == 0, "explain could not tell of the corrected file")

    def _told(self, partners: Partners) -> None:
        self._chapter("What the ledger tells")
        self._expect(self._command(partners.place, "ls", "--limit", "6") == 0, "ls failed")
        self._expect(self._command(partners.place, "trace", self._newest(partners.place)) == 0, "trace failed")
        self._expect(self._command(partners.place, "status") == 0, "status is not well")

    def _newest(self, place: Path) -> str:
        done = subprocess.run(_transload("ls", "--limit", "1", "--json"), cwd=place, capture_output=True, env=_plain(), check=True)
        return str(json.loads(done.stdout)[0]["id"])

    def _compared(self, partners: Partners, wanted: inspection.Held) -> None:
        self._chapter("Compared byte by byte, from the other side, without asking the ledger")
        found = inspection.look(partners, wanted)
        self._table(found)
        for one in found:
            self._expect(one.well, f"{one.destination} does not hold exactly what the sources have")
        left = [name for name in _walk(partners.place / "archive") + _walk(partners.root("ftps")) if name.startswith(".")]
        self._expect(not left, f"temporary files were left behind: {left[:3]}")

    def _verdict(self, seconds: float) -> None:
        self.say("")
        for fault in self.faults:
            self.say(f"   WRONG: {fault}")
        word = "something is wrong" if self.faults else "every file is at every destination, once and whole"
        self.say(f"{word} ({show_duration(round(seconds))})")

    def _stay(self, place: Path) -> None:
        self.say("")
        self.say("The partners stay up until Ctrl-C. To look, in another terminal:")
        self.say(f"   cd {place}")
        for command in (
            "transload ls --limit 20",
            "transload status",
            "transload plan",
            "transload up",
            "ls -R archive",
            "less transload.toml",
        ):
            self.say(f"   {command}")
        ends = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        signal.sigwait(ends)

    # How it is told

    def _chapter(self, title: str) -> None:
        self._chapters += 1
        self.say("")
        self.say(f"{self._chapters}. {title}")

    def _command(self, place: Path, *words: str) -> int:
        self.say(f"   $ transload {' '.join(words)}")
        try:
            done = subprocess.run(
                _transload(*words), cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=_PATIENCE, env=_plain(), check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise TransloadError(f"transload {' '.join(words)} did not end within {show_duration(_PATIENCE)}") from error
        for line in done.stdout.decode("utf-8", "backslashreplace").splitlines():
            self.say(f"   {line}".rstrip())
        return done.returncode

    def _table(self, found: Sequence[Found]) -> None:
        self.say("   destination    owed   whole  missing  damaged  not owed")
        for one in found:
            self.say(f"   {one.destination:<12} {one.owed:>6} {one.whole:>7} {one.missing:>8} {one.wrong:>8} {one.foreign:>9}")

    def _expect(self, true: bool, otherwise: str) -> None:  # noqa: FBT001 - what is expected
        if not true:
            self.faults.append(otherwise)
            self.say(f"   WRONG: {otherwise}")


def _transload(*words: str) -> list[str]:
    beside = shutil.which("transload", path=os.path.dirname(sys.executable))
    return [beside, *words] if beside else [sys.executable, "-c", "from transload.cli import main; main()", *words]


def _plain() -> dict[str, str]:
    """The environment without what would change how the commands work."""
    return {key: value for key, value in os.environ.items() if not key.startswith("TRANSLOAD_") and key != "PYTHONDONTWRITEBYTECODE"}


def _walk(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def _count(folder: Path) -> int:
    return sum(not name.startswith(".") for name in _walk(folder))
