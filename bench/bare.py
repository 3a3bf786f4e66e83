"""A peer: every file of a folder into a bucket by obstore alone, in threads; `python -m bench.bare s3|azure FOLDER ROOT ENDPOINT`."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
from obstore.store import AzureStore, S3Store

THREADS = 64


def main(kind: str, folder: Path, root: str, endpoint: str) -> None:
    """Put them all."""
    options = {"allow_http": True, "timeout": "600s"}
    if kind == "s3":
        key, secret = os.environ["BENCH_S3_KEY"], os.environ["BENCH_S3_SECRET"]
        store = S3Store(root, endpoint=endpoint, region="us-east-1", access_key_id=key, secret_access_key=secret, client_options=options)
    else:
        store = AzureStore(
            root, account_name="devstoreaccount1", account_key=os.environ["BENCH_AZURE_KEY"], endpoint=endpoint, client_options=options
        )
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda path: obstore.put(store, path.name, path), sorted(folder.iterdir())))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
