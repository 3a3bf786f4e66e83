"""The program begun quickly: a process that has imported all of it forks one of its own for each command.

Most of a short command's time goes into imports, and the tests give thousands of them. What is begun here is a process like any
other (its own number, environment, folder and streams; killed, waited for and counted as one), and a child of the test that asked.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from transload import crash

ROOT = str(Path(__file__).parents[1])
TRANSLOAD = str(Path(sys.executable).with_name("transload"))
PR_SET_CHILD_SUBREAPER = 36
AT_START = ("PYTHON", "LC_", "LANG")
"""What Python itself reads at its start: where that differs from ours, it is started."""
FREE = {"PYTHONFAULTHANDLER", "PYTHONDONTWRITEBYTECODE"}
_LIMIT = 1 << 20
_ALL = ("app", "cli", "engine.engine", "notify.webhook", "remotes.ftp", "remotes.http", "remotes.objects", "remotes.sftp", "rescan")
_ALL += ("servers.library", "steps.format", "steps.scan", "steps.unpack")
_forges: dict[int, tuple[socket.socket, subprocess.Popen[bytes]]] = {}


class Forged(subprocess.Popen[Any]):
    """`subprocess.Popen` for `transload ...`; `module` is another with a `main()`."""

    def __init__(self, words: list[str], *, module: str = "transload.cli", **settings: Any) -> None:
        """Begin `transload` with `words`; the settings are those of Popen that need no new program."""
        self._module = module
        super().__init__([TRANSLOAD, *words], **settings)

    def _execute_child(self, args: Any, *rest: Any) -> None:  # type: ignore[override]
        # The order of the arguments is CPython's own: it has been the same since 3.11.
        (_, preexec, _, passed, cwd, env, _, _, _, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite) = rest[:15]
        assert preexec is None, "a process that is forked here runs nothing before it begins"
        assert not passed, "a process that is forked here is given its three streams only"
        if _read_at_start(os.environ) != _read_at_start(os.environ if env is None else env):
            super()._execute_child(args, *rest)  # type: ignore[misc]
            return
        told = {
            "argv": list(args),
            "cwd": os.fspath(cwd or os.getcwd()),
            "env": dict(os.environ if env is None else env),
            "module": self._module,
        }
        streams = [number if given == -1 else given for number, given in enumerate((p2cread, c2pwrite, errwrite))]
        self.pid = _asked(json.dumps(told).encode(), streams)
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


def run(words: list[str], *, timeout: float, said: str | None = None, **settings: Any) -> subprocess.CompletedProcess[str]:
    """As subprocess.run with its output captured."""
    stdin = None if said is None else subprocess.PIPE
    with Forged(words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings) as process:
        try:
            out, err = process.communicate(said, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(AT_START) and name not in FREE}


def _asked(told: bytes, streams: list[int]) -> int:
    """The number of the process that the forge of this process began."""
    line = _forges[os.getpid()][0] if os.getpid() in _forges else _begun()
    socket.send_fds(line, [told], streams)
    answer = line.recv(64)
    if not answer:
        raise RuntimeError("the forge is gone")
    return int(answer)


def _begun() -> socket.socket:
    # Whose parent ends becomes ours, and so what the forge begins can be waited for here.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LIMIT)
    command = [sys.executable, "-m", "tests.forge", str(its.fileno())]
    process = subprocess.Popen(command, cwd=ROOT, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
    its.close()
    _forges[os.getpid()] = ours, process
    return ours


def close() -> None:
    """End the forge of this process, if it has one."""
    line, process = _forges.pop(os.getpid(), (None, None))
    if line and process:
        line.close()
        process.wait()


# ---------------------------------------------------------------- in the forge


def _asked_for(line: socket.socket) -> dict[str, Any] | None:
    """In the forge: None, when nobody will ask any more. In each process that it begins: what it is to do, its streams in place."""
    for name in _ALL:
        importlib.import_module(f"transload.{name}")
    importlib.import_module("structlog")
    # What is shared with the children stays shared: no collection writes to it.
    gc.collect()
    gc.freeze()
    while True:
        told, streams, _, _ = socket.recv_fds(line, _LIMIT, 3)
        if not told:
            return None
        reader, writer = os.pipe()
        between = os.fork()
        if not between:
            child = os.fork()
            if not child:
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                line.detach()
                os.closerange(3, 65536)
                return json.loads(told)
            os.write(writer, str(child).encode())
            os._exit(0)
        for descriptor in (writer, *streams):
            os.close(descriptor)
        # Only when the one between has ended is its child the test's.
        os.waitpid(between, 0)
        line.send(os.read(reader, 64))
        os.close(reader)


def _become(argv: list[str], cwd: str, env: dict[str, str]) -> None:
    """All that Python and Transload's modules made of the start of the forge, made of this one's."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = argv
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False, buffering=1 if os.isatty(1) else -1)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115
    if env.get("PYTHONFAULTHANDLER"):
        faulthandler.enable()
    crash._NAME, _, count = env.get("TRANSLOAD_CRASH_AT", "").partition(":")
    crash._left = int(count or 1)


def _ends_with(main: Callable[[], None]) -> NoReturn:
    """As a program does; but what it shares with the forge is not taken apart, as in the children of `multiprocessing`."""
    code = 0
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        sys.excepthook(*sys.exc_info())
        code = 120
    os._exit(code)


if __name__ == "__main__":
    asked = _asked_for(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        module = asked.pop("module")
        _become(**asked)
        _ends_with(importlib.import_module(module).main)
