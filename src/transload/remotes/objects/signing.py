"""Presigned URLs with a query of our own: obstore signs none, but its own ones tell all that is needed but the secret.

Version 4 of AWS's signature, and Google's, which differs in the last step only.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Signature = Callable[[str, str], str]
    """Of a scope and a text."""

_SCOPE_PARTS = 4


def signed(root: str, method: str, key: str, query: Mapping[str, str], signature: Signature) -> str:
    """`root`, which obstore has signed for the bucket itself, as a URL for `key` with `query`."""
    parts = urlsplit(root)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    (prefix,) = (name.removesuffix("-Signature") for name in given if name.endswith("-Signature"))
    del given[f"{prefix}-Signature"]
    path = f"{parts.path.rstrip('/')}/{quote(key, safe='/')}"
    asked = "&".join("=".join(pair) for pair in sorted((_quoted(name), _quoted(text)) for name, text in {**given, **query}.items()))
    scope = "/".join(given[f"{prefix}-Credential"].rsplit("/", _SCOPE_PARTS)[1:])
    whole = "\n".join([method, path, asked, f"host:{parts.netloc}\n", "host", "UNSIGNED-PAYLOAD"])
    text = "\n".join([given[f"{prefix}-Algorithm"], given[f"{prefix}-Date"], scope, sha256(whole.encode()).hexdigest()])
    return f"{parts.scheme}://{parts.netloc}{path}?{asked}&{prefix}-Signature={signature(scope, text)}"


def signer(root: str) -> str:
    """Whose key `root` is signed with."""
    given = dict(parse_qsl(urlsplit(root).query))
    return next(value for name, value in given.items() if name.endswith("-Credential")).rsplit("/", _SCOPE_PARTS)[0]


def by_secret(secret: str) -> Signature:
    """As AWS has it: by a key that is derived from the secret for a day, a region and a service."""

    def signature(scope: str, text: str) -> str:
        key = f"AWS4{secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()

    return signature


def by_private_key(pem: str) -> Signature:
    """As Google has it: by a service account's RSA key; ValueError if it is none."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("not an RSA key")

    def signature(_: str, text: str) -> str:
        return key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()

    return signature


def _quoted(text: str) -> str:
    return quote(text, safe="")
