"""Object stores: S3 and what speaks its language, Azure Blob, Google Cloud Storage."""

from __future__ import annotations

from transload.remotes.objects.azure import AzureRemote
from transload.remotes.objects.gcs import GcsRemote
from transload.remotes.objects.s3 import S3Remote

__all__ = ["AzureRemote", "GcsRemote", "S3Remote"]
