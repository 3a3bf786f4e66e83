"""A large object whose upload died half way: the parts that are there, with the bytes that belong there, are not sent again.

The store itself tells each part's MD5 (S3's ListParts), so nothing has to be remembered here about what was sent.
"""

from __future__ import annotations

import base64
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from transload.errors import Unreachable
from transload.remotes.objects.asking import asked
from transload.remotes.objects.plainly import parsed, read

if TYPE_CHECKING:
    from transload.remotes.base import Moved
    from transload.remotes.objects.bucket import Bucket
    from transload.remotes.objects.parcels import Pieces

_MOST = 1000


def go_on(bucket: Bucket, key: str, upload: str, body: Pieces, moved: Moved, at_once: int) -> str:
    """Send what is missing of `body` to `upload`, `at_once` parts at a time, and complete it; gives the object's etag.

    `moved` hears of the bytes that are sent. Raises what the store answers: that the upload is gone, too.
    """
    there = _parts(bucket, key, upload)
    with ThreadPoolExecutor(at_once, thread_name_prefix="transload-parts") as pool:
        sending: deque[object] = deque()
        for number, block in enumerate(body, 1):
            if there.get(number) == (len(block), body.last()):
                continue
            moved(len(block))
            sending.append(pool.submit(_send, bucket, key, upload, number, block, body.last()))
            if len(sending) == at_once:
                sending.popleft().result()  # type: ignore[attr-defined]
        for one in sending:
            one.result()  # type: ignore[attr-defined]
    return _completed(bucket, key, upload, body)


def _parts(bucket: Bucket, key: str, upload: str) -> dict[int, tuple[int, str]]:
    """Size and MD5 of each part that is there, by its number."""
    found: dict[int, tuple[int, str]] = {}
    query = {"uploadId": upload, "max-parts": str(_MOST)}
    while True:
        answer = parsed(bucket, query, key)
        for part in answer.iterfind("{*}Part"):
            etag = (part.findtext("{*}ETag") or "").strip('"')
            found[int(part.findtext("{*}PartNumber") or 0)] = int(part.findtext("{*}Size") or 0), etag
        after = answer.findtext("{*}NextPartNumberMarker") or ""
        if answer.findtext("{*}IsTruncated") != "true" or not after or after == query.get("part-number-marker"):
            return found
        query["part-number-marker"] = after


def _send(bucket: Bucket, key: str, upload: str, number: int, block: bytes, digest: str) -> None:
    told = {"Content-MD5": base64.b64encode(bytes.fromhex(digest)).decode()}
    asked(bucket, "PUT", key, {"partNumber": str(number), "uploadId": upload}, block, told)


def _completed(bucket: Bucket, key: str, upload: str, body: Pieces) -> str:
    parts = "".join(
        f'<Part><PartNumber>{number}</PartNumber><ETag>"{escape(digest)}"</ETag></Part>' for number, digest in enumerate(body.digests(), 1)
    )
    said = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    answer = read(bucket, asked(bucket, "POST", key, {"uploadId": upload}, said, {"Content-Type": "application/xml"}))
    # It may take long, so the store says 200 before it knows.
    if not answer.tag.endswith("CompleteMultipartUploadResult"):
        code, message = answer.findtext("{*}Code"), answer.findtext("{*}Message")
        raise Unreachable(
            f"{bucket.remote.where()}: the parts were not put together: {code or answer.findtext('Code')} {message or ''}".rstrip()
        )
    return (answer.findtext("{*}ETag") or "").strip('"')
