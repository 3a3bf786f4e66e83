"""Names of members that are given away: the quick way for a folder that is known decides as the long one does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transload.errors import Rejected
from transload.steps.archives.names import Taken

PARTS = st.sampled_from(
    [b"a", b"A", b"b", b"a.", b"con", b"c\\d", b"n\0", b"C:", b"", b".", b"..", b"\xc3\xa9", b"e\xcc\x81", b"\xff", b"x" * 255, b"x" * 256]
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map(b"/".join)


class Slow(Taken):
    """Looks at every name from its first part to its last."""

    def file(self, raw: bytes) -> bytes:
        self._found_good.clear()
        return super().file(raw)


def _given(taken: Taken, asked: list[tuple[bool, bytes]]) -> list[object]:
    found: list[object] = []
    for folder, name in asked:
        try:
            found.append(taken.folder(name) if folder else taken.file(name))
        except Rejected as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("rename", [False, True])
@given(asked=st.lists(st.tuples(st.booleans(), NAMES), max_size=20))
def test_a_name_in_a_known_folder_is_judged_like_any_other(rename, asked):
    assert _given(Slow(rename=rename), asked) == _given(Taken(rename=rename), asked)


def test_the_longest_name_is_the_longest_in_a_known_folder_too():
    folder = b"/".join([b"d" * 255] * 15 + [b"d" * 200])
    assert b"ok" == Taken(rename=False).file(b"ok")
    taken = Taken(rename=False)
    taken.file(folder + b"/a")
    taken.file(folder + b"/" + b"b" * (4096 - len(folder) - 1))
    with pytest.raises(Rejected, match="too long"):
        taken.file(folder + b"/" + b"c" * (4096 - len(folder)))
