"""Google Cloud Storage: on a real bucket only when TRANSLOAD_TEST_GCS_BUCKET names one, as no emulator of it is at hand.

TRANSLOAD_TEST_GCS_CREDENTIALS is then the path of a service account's key, or unset for the application default ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid

import pytest

from tests.peers.base import HOST, free_port
from transload.errors import Conflict, Unreachable
from transload.model import Name, Parcel, Verify
from transload.remotes.objects import GcsRemote

BUCKET = os.environ.get("TRANSLOAD_TEST_GCS_BUCKET")
CREDENTIALS = os.environ.get("TRANSLOAD_TEST_GCS_CREDENTIALS")
CANARY = "CANARY7secret"


def test_an_unreachable_store_is_named_and_its_key_is_not(tmp_path):
    port = free_port()
    file = tmp_path / "account.json"
    account = {"private_key": CANARY, "private_key_id": "1", "client_email": "a@b", "disable_oauth": True}
    file.write_text(json.dumps(account))
    settings = {"bucket": "landing", "endpoint": f"http://{HOST}:{port}", "credentials": {"file": str(file)}, "timeout": 5}
    remote = GcsRemote.model_validate(settings)
    with remote.connect() as session, pytest.raises(Unreachable, match=rf"gcs://landing.*{HOST}:{port}.*refuses") as caught:
        list(session.list("", recursive=True))
    assert CANARY not in f"{caught.value}{caught.value.__cause__}"


if BUCKET:

    @pytest.fixture
    def session():
        credentials = {"credentials": {"file": CREDENTIALS}} if CREDENTIALS else {}
        remote = GcsRemote.model_validate({"bucket": BUCKET, "prefix": f"transload-test/{uuid.uuid4()}", **credentials})
        with remote.connect() as live:
            yield live
            for entry in list(live.list("", recursive=True)):
                live.remove(entry)

    @pytest.mark.parametrize("size", [0, 10, 9 * 2**20])
    @pytest.mark.parametrize("name", ["plain.csv", "a b#?%46ü\n.csv"])
    def test_what_is_delivered_comes_back(session, spool, tmp_path, name, size):
        data = os.urandom(size)
        (tmp_path / "file").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        parcel = Parcel(1, "d1-c1", Name(name), str(tmp_path / "file"), size, digest, verify=Verify.READ_BACK)
        for _ in range(2):
            (receipt,) = session.publish(list(session.stage([parcel])))
            assert (None, Verify.READ_BACK) == (receipt.error, receipt.verified)
        assert digest == session.hash(parcel.name)
        (outcome,) = session.fetch(session.list("", recursive=True), spool)
        assert digest == outcome.spooled.sha256
        assert isinstance(outcome.entry.etag, str)

    def test_a_name_that_is_taken_stays(session, tmp_path):
        (tmp_path / "file").write_bytes(b"1")
        parcels = [Parcel(n, f"d{n}-c1", Name("x"), str(tmp_path / "file"), 1, hashlib.sha256(b"1").hexdigest()) for n in (1, 2)]
        errors = [receipt.error for parcel in parcels for receipt in session.publish(list(session.stage([parcel])))]
        assert errors[0] is None
        assert isinstance(errors[1], Conflict)
