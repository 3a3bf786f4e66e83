"""The command that shows it all: demo."""

from __future__ import annotations

from typing import Annotated

import typer

from transload.cli.base import UNWELL, WELL, app, say


@app.command()
def demo(
    *,
    stay: Annotated[bool, typer.Option("--stay", help="Keep the partners' servers up afterwards, to look around, until Ctrl-C.")] = False,
) -> int:
    """Play the main job on this machine.

    Starts partner servers (FTP, SFTP, HTTP, FTPS, S3, Azure) on loopback with awkward files, fetches and delivers them, is
    killed in the middle and goes on, compares every byte from the other side, and has a logger upload to an FTP server
    of our own. Removes everything it made.
    """
    from transload.demo import Story

    return WELL if Story(say).play(stay=stay) else UNWELL
