"""Large objects whose upload died half way: nobody sees their parts, and a sweep takes them away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.peers.base import REPOSITORY
from tests.peers.relay import Relay
from tests.remotes import test_objects_faults as faults
from tests.remotes.test_objects_faults import MIB, PUBLISH, Between, azure_at, publish, s3_at
from transload.errors import Busy, Changed, Full, Unreachable
from transload.model import Name, Parcel, Verify

parcel, secrets = faults.parcel, faults.secrets


def killed_half_way(kind: str, peer, bucket: str, one: Parcel) -> None:
    """A put of `one` as "x" by a process that dies of SIGKILL."""
    with Relay(peer.port) as relay:
        relay.up_left, relay.stall = 24 * MIB, True
        words = [kind, bucket, str(relay.port), one.file, str(one.size), one.sha256]
        child = subprocess.Popen([sys.executable, "-c", PUBLISH, *words], cwd=REPOSITORY)
        while relay.carried < 24 * MIB:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()


def unfinished(moto, bucket: str) -> list[str]:
    return sorted(upload["Key"] for upload in moto.client().list_multipart_uploads(Bucket=bucket).get("Uploads", []))


def begin(moto, bucket: str, *keys: str) -> None:
    for key in keys:
        moto.client().create_multipart_upload(Bucket=bucket, Key=key)


def test_the_parts_of_a_killed_put_are_swept_and_those_of_other_keys_stay(moto, parcel):
    bucket, one = moto.bucket(), parcel("x", os.urandom(48 * MIB))
    killed_half_way("s3", moto, bucket, one)
    begin(moto, bucket, "x/y", "xy", "a/x")
    assert ["a/x", "x", "x/y", "xy"] == unfinished(moto, bucket)
    with s3_at(bucket, moto.port).connect() as session:
        session.sweep(one.key, one.name)
        session.sweep(one.key, one.name)
    assert ["a/x", "x/y", "xy"] == unfinished(moto, bucket)
    assert [None] == [receipt.error for receipt in publish(s3_at(bucket, moto.port), one)]
    assert ["a/x", "x/y", "xy"] == unfinished(moto, bucket)


def test_a_killed_put_is_gone_on_with_and_what_is_there_is_not_sent_again(moto, parcel):
    bucket, one = moto.bucket(), parcel("x", os.urandom(48 * MIB))
    killed_half_way("s3", moto, bucket, one)
    begin(moto, bucket, "x/y")
    sent = []
    with s3_at(bucket, moto.port).connect() as session:
        session.moved = sent.append
        (receipt,) = session.publish(list(session.stage([replace(one, key="d1-c2", verify=Verify.HASH)])))
        assert (None, Verify.HASH) == (receipt.error, receipt.verified)
        assert one.sha256 == session._bucket.read_back("x") == session.hash(one.name)
    assert 8 * MIB <= sum(sent) <= 40 * MIB
    assert ["x/y"] == unfinished(moto, bucket)


def test_parts_of_another_file_are_told_from_ours(moto, parcel):
    """The first part is the same, and what the object would tell of itself is not."""
    bucket, first = moto.bucket(), os.urandom(8 * MIB)
    one, upload = parcel("x", first + os.urandom(9 * MIB)), moto.client()
    begun = upload.create_multipart_upload(Bucket=bucket, Key="x", Metadata={"sha256": "0" * 64})["UploadId"]
    upload.upload_part(Bucket=bucket, Key="x", UploadId=begun, PartNumber=1, Body=first)
    upload.upload_part(Bucket=bucket, Key="x", UploadId=begun, PartNumber=2, Body=b"other bytes")
    with s3_at(bucket, moto.port).connect() as session:
        session.sweep(one.key, one.name)
        (receipt,) = session.publish(list(session.stage([one])))
        assert receipt.error is None
        assert one.sha256 == session._bucket.read_back("x") == session._bucket.attributes("x")[1]["sha256"]
    assert [] == unfinished(moto, bucket)


def test_an_upload_that_is_given_up_meanwhile_is_begun_anew(moto, parcel):
    bucket, one = moto.bucket(), parcel("x", os.urandom(17 * MIB))
    begun = moto.client().create_multipart_upload(Bucket=bucket, Key="x")["UploadId"]
    with s3_at(bucket, moto.port).connect() as session:
        session.sweep(one.key, one.name)
        moto.client().abort_multipart_upload(Bucket=bucket, Key="x", UploadId=begun)
        (receipt,) = session.publish(list(session.stage([one])))
        assert receipt.error is None
        assert one.sha256 == session._bucket.read_back("x")


def test_parts_that_cannot_be_put_together_are_no_object(moto, parcel):
    bucket, one = moto.bucket(), parcel("x", os.urandom(48 * MIB))
    killed_half_way("s3", moto, bucket, one)
    with Between(moto.port) as between, s3_at(bucket, between.port).connect() as session:
        late = "<Error><Code>InternalError</Code><Message>try again</Message></Error>"
        between.answer = lambda method, _, __: (200, late) if method == "POST" else None
        session.sweep(one.key, one.name)
        with pytest.raises(Unreachable, match="were not put together: InternalError try again"):
            list(session.publish(list(session.stage([one]))))
        assert session.look(one.name) is None


def test_the_blocks_of_a_killed_put_to_azure_hinder_nobody(azurite, parcel):
    container, one = azurite.container(), parcel("x", os.urandom(48 * MIB))
    killed_half_way("azure", azurite, container, one)
    remote = azure_at(container, azurite.port)
    with remote.connect() as session:
        session.sweep(one.key, one.name)
        assert session.look(one.name) is None
    assert [None] == [receipt.error for receipt in publish(remote, one)]


def test_several_uploads_of_an_awkward_key_below_a_prefix_are_swept(moto):
    bucket = moto.bucket()
    begin(moto, bucket, *["in/here/a b+c%/ü#?&"] * 3, "a b+c%/ü#?&")
    with s3_at(bucket, moto.port, prefix="in/here").connect() as session:
        session.sweep("d1-c1", Name("a b+c%/ü#?&"))
    assert ["a b+c%/ü#?&"] == unfinished(moto, bucket)


def test_a_batch_is_swept_by_one_question(moto):
    bucket = moto.bucket()
    begin(moto, bucket, "007", "other")
    with Between(moto.port) as between:
        with s3_at(bucket, between.port).connect() as session:
            for number in range(256):
                session.sweep(f"d{number}-c1", Name(f"{number:03}"))
        assert ["GET", "DELETE"] == [line.partition(" ")[0] for line in between.asked]
    assert ["other"] == unfinished(moto, bucket)


def test_where_strangers_leave_many_uploads_each_key_is_asked_for(moto):
    bucket = moto.bucket()
    begin(moto, bucket, "x", "other")
    with Between(moto.port) as between, s3_at(bucket, between.port).connect() as session:
        many = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>"
        between.answer = lambda _, path, __: (200, many) if "uploads" in path and "prefix" not in path else None
        session.sweep("d1-c1", Name("x"))
    assert ["other"] == unfinished(moto, bucket)


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (501, "NotImplemented"), (404, "NoSuchBucket"), (400, "Invalid")])
def test_who_may_not_sweep_still_delivers(moto, parcel, status, code):
    bucket, one = moto.bucket(), parcel("x", b"1" * 9 * MIB)
    begin(moto, bucket, "x")
    with Between(moto.port) as between:
        refusal = (status, f"<Error><Code>{code}</Code></Error>")
        between.answer = lambda method, path, _: refusal if method == "GET" and "uploads=" in path else None
        with s3_at(bucket, between.port).connect() as session:
            for _ in range(3):
                session.sweep(one.key, one.name)
            assert 1 == len(between.asked)
            assert [None] == [receipt.error for receipt in session.publish(list(session.stage([one])))]


def test_a_store_that_is_busy_or_away_is_swept_another_time(moto):
    with Between(moto.port) as between, s3_at(moto.bucket(), between.port).connect() as session:
        between.answer = lambda *_: (503, "<Error><Code>SlowDown</Code></Error>")
        with pytest.raises(Busy, match="SlowDown"):
            session.sweep("d1-c1", Name("x"))
    with s3_at("bucket", 1).connect() as session, pytest.raises(Unreachable, match="refuses the connection"):
        session.sweep("d1-c1", Name("x"))


def test_a_put_that_is_stopped_here_leaves_no_parts_and_says_why(moto, parcel):
    bucket, one = moto.bucket(), parcel("x", b"1" * 40 * MIB)
    heard = []

    def moved(count: int) -> None:
        heard.append(count)
        if len(heard) == 4:
            raise Full("no room for more")

    with s3_at(bucket, moto.port).connect() as session:
        session.moved = moved
        (receipt,) = session.publish(list(session.stage([one])))
    assert isinstance(receipt.error, Full)
    assert [] == unfinished(moto, bucket)


def test_a_spooled_file_that_cannot_be_read_is_no_broken_line(moto, parcel, monkeypatch):
    bucket, one = moto.bucket(), parcel("x", b"1" * 20 * MIB)
    with s3_at(bucket, moto.port).connect() as session:
        staged = list(session.stage([one]))
        # Reading a folder fails as reading a broken disk does.
        monkeypatch.setattr("transload.remotes.objects.putting.whole", lambda _: None)
        os.remove(one.file)
        os.mkdir(one.file)
        (receipt,) = session.publish(staged)
    assert isinstance(receipt.error, Changed)
    assert "directory" in str(receipt.error)
    assert [] == unfinished(moto, bucket)
