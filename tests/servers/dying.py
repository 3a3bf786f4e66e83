"""A process whose uploads land until it is killed: says "yes" on a line of its own for each that was answered so."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
from pathlib import Path

from tests.servers.landings import Wharf, answered
from transload.errors import TransloadError

ROUTES = ({"name": "all"}, {"name": "again", "from": {"match": "*.csv"}})
SAY = threading.Lock()


def say(*words: str) -> None:
    with SAY:
        print(*words, flush=True)


def live(wharf: Wharf, me: int, seed: int, count: int) -> None:
    """New files, new versions, temporary names that are renamed, resumed and cut ones, large ones, removed ones."""
    dice = random.Random(f"{seed} {me}")
    for number in range(count):
        name, data = f"{me}-{number % 5}.csv", dice.randbytes(dice.choice([0, 10, 5000, 5000, 70_000, 2_000_000]))
        sha256 = hashlib.sha256(data).hexdigest()
        way = dice.choice(["plain", "plain", "renamed", "resumed", "scattered", "removed"])
        try:
            if way == "resumed":
                cut = f"{me}-{number}.cut"
                wharf.cut(cut, data[: len(data) // 2])
                wharf.put(cut, data[len(data) // 2 :], append=True)
                say("yes", cut, sha256)
            elif way == "renamed":
                wharf.put(f"{me}-{number}.tmp", data)
                say("held", f"{me}-{number}.tmp", sha256)
                wharf.rename(f"{me}-{number}.tmp", name)
                say("yes", name, sha256)
            elif way == "scattered":
                upload = wharf.begin(name)
                upload.write_at(len(data) // 2, data[len(data) // 2 :])
                upload.write_at(0, data[: len(data) // 2])
                answered(upload.finish)
                say("yes", name, sha256)
            else:
                wharf.put(name, data)
                say("yes", name, sha256)
                if way == "removed":
                    wharf.remove(name)
        except TransloadError as error:
            say("no", name, str(error))


if __name__ == "__main__":
    folder, url, seed, count = sys.argv[1:]
    wharf = Wharf(Path(folder), url, *[dict(route) for route in ROUTES])
    threads = [threading.Thread(target=live, args=(wharf, me, int(seed), int(count))) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wharf.close()
    say("end")
