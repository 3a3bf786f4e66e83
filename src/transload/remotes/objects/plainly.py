"""Listings by requests of our own, for keys that obstore refuses: one such key would end its listing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from transload.errors import Unreachable
from transload.remotes.objects.asking import asked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obstore import ObjectMeta

    from transload.remotes.objects.bucket import Bucket

PAGE = 1000


def pages_after(bucket: Bucket, base: str, last: str, *, recursive: bool) -> Iterator[Sequence[ObjectMeta]]:
    """What is below `base`, behind the key that obstore told last; all of it when that one is no more there.

    Stores tell keys in an order that stays the same, but each has its own: so the key is looked for, not compared.
    """
    pages = bucket.remote.pages(bucket, base, recursive=recursive)
    if last:
        for page in pages:
            at = next((at for at, meta in enumerate(page) if meta["path"].strip("/") == last), None)
            if at is not None:
                yield page[at + 1 :]
                break
        else:
            pages = bucket.remote.pages(bucket, base, recursive=recursive)
    yield from pages


def s3_pages(bucket: Bucket, base: str, *, recursive: bool) -> Iterator[Sequence[ObjectMeta]]:
    """As S3 and Google tell it."""
    query = {"list-type": "2", "encoding-type": "url", "max-keys": str(PAGE), **_below(base, recursive=recursive)}
    while True:
        answer = parsed(bucket, query)
        with _readable(bucket):
            page = [_s3_object(found, answer) for found in answer.iterfind("{*}Contents")]
        yield page
        if answer.findtext("{*}IsTruncated") != "true":
            return
        query["continuation-token"] = _following(bucket, answer.findtext("{*}NextContinuationToken"), query.get("continuation-token"))


def azure_pages(bucket: Bucket, base: str, *, recursive: bool) -> Iterator[Sequence[ObjectMeta]]:
    """As Azure tells it, without the folders that a hierarchical namespace shows as blobs."""
    query = {"restype": "container", "comp": "list", "maxresults": str(PAGE), **_below(base, recursive=recursive)}
    while True:
        answer = parsed(bucket, query)
        with _readable(bucket):
            blobs = answer.iterfind("Blobs/Blob")
            page = [_azure_object(blob) for blob in blobs if blob.findtext("Properties/ResourceType") != "directory"]
        yield page
        marker = answer.findtext("NextMarker")
        if not marker:
            return
        query["marker"] = _following(bucket, marker, query.get("marker"))


def parsed(bucket: Bucket, query: dict[str, str], key: str = "") -> ET.Element:
    """The answer about `key`, or about the bucket itself, as XML."""
    return read(bucket, asked(bucket, "GET", key, query))


def read(bucket: Bucket, data: bytes) -> ET.Element:
    """An answer as XML without any declarations; Unreachable when it is none."""
    with _readable(bucket):
        parser = ET.XMLParser(target=_Undeclared())  # noqa: S314 - a document that declares anything is refused
        parser.feed(data)
        found: ET.Element = parser.close()
        return found


def decoded(text: str | None, answer: ET.Element) -> str:
    """A key as it is: most stores spell it as URLs do when they are asked to, and say so."""
    if text is None:
        raise ValueError("an object without a key")
    return unquote_plus(text, errors="surrogateescape") if answer.findtext("{*}EncodingType") == "url" else text


class _Undeclared(ET.TreeBuilder):
    def doctype(self, *_: object) -> None:
        raise ValueError("it declares a document type")


@contextmanager
def _readable(bucket: Bucket) -> Iterator[None]:
    try:
        yield
    except (ET.ParseError, LookupError, ValueError, TypeError) as error:
        raise Unreachable(f"{bucket.remote.where()}: its listing cannot be read: {error}") from error


def _below(base: str, *, recursive: bool) -> dict[str, str]:
    prefix = {"prefix": f"{base}/"} if base else {}
    return prefix if recursive else {**prefix, "delimiter": "/"}


def _following(bucket: Bucket, token: str | None, before: str | None) -> str:
    """Where the next page begins; a listing that is not whole never ends quietly, nor goes in circles."""
    if not token or token == before:
        raise Unreachable(f"{bucket.remote.where()}: its listing says that there is more, and not where")
    return token


def _s3_object(found: ET.Element, answer: ET.Element) -> ObjectMeta:
    told = {part.tag.rpartition("}")[2]: part.text for part in found}
    return {
        "path": decoded(told["Key"] or "", answer),
        "last_modified": datetime.fromisoformat(told["LastModified"] or ""),
        "size": int(told["Size"] or ""),
        "e_tag": told.get("ETag"),
        "version": None,
    }


def _azure_object(blob: ET.Element) -> ObjectMeta:
    name = blob.find("Name")
    if name is None or not name.text:
        raise ValueError("a blob without a name")
    return {
        "path": unquote(name.text, errors="surrogateescape") if name.get("Encoded") == "true" else name.text,
        "last_modified": parsedate_to_datetime(blob.findtext("Properties/Last-Modified") or ""),
        "size": int(blob.findtext("Properties/Content-Length") or ""),
        "e_tag": blob.findtext("Properties/Etag"),
        "version": None,
    }
