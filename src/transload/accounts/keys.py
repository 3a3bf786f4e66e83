"""Public SSH keys as authorized_keys has them: read, checked, and kept as type and base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator

from transload.errors import ConfigError

_CURVES = {"ecdsa-sha2-nistp256": 65, "ecdsa-sha2-nistp384": 97, "ecdsa-sha2-nistp521": 133}
_SK = {"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}
KINDS = ("ssh-ed25519", *_CURVES, "ssh-rsa", *sorted(_SK))
_LEAST_BITS = 2048


def parse(line: str) -> str:
    """The key of one line, `ssh-ed25519 AAAA...`, without its comment; ConfigError says what is wrong with it."""
    words = line.split()
    if "PRIVATE KEY" in line:
        raise ConfigError("this is a private key: give the public one, the file that ends in .pub")
    if line.startswith("---- BEGIN SSH2"):
        raise ConfigError("this is a key in SSH2 form: ssh-keygen -i -f FILE writes it as OpenSSH does")
    if not words or words[0] not in KINDS:
        raise ConfigError(_unlike(words))
    if len(words) < 2:
        raise ConfigError(f"nothing stands after {words[0]}: the base64 of the key is missing")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError("its base64 is damaged: copy the line whole") from None
    fault = _fault(words[0], blob)
    if fault:
        raise ConfigError(fault)
    return f"{words[0]} {words[1]}"


def parse_all(text: str) -> tuple[str, ...]:
    """The keys of an authorized_keys file, each once; ConfigError names the line that is wrong, or says that there is none."""
    if "PRIVATE KEY" in text or text.startswith("---- BEGIN SSH2"):
        parse(text.splitlines()[0])
    found: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found[parse(line.strip())] = None
            except ConfigError as error:
                raise ConfigError(f"line {number}: {error}") from None
    if not found:
        raise ConfigError("there is no key in it")
    return tuple(found)


def plain(key: str) -> str:
    """A key without its comment, to be compared."""
    return " ".join(key.split()[:2])


def fingerprint(key: str) -> str:
    """`SHA256:...`, as ssh-keygen -l shows it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _unlike(words: list[str]) -> str:
    if words and words[0] == "ssh-dss":
        return "DSA keys are too weak: make one with ssh-keygen -t ed25519"
    if any(word in KINDS for word in words):
        return "words before the key are not taken: the user's own limits say from where it may come"
    return "is no public SSH key: a line such as ssh-ed25519 AAAA... is wanted"


def _fault(kind: str, blob: bytes) -> str:
    """What is wrong with a key's bytes, or nothing."""
    try:
        told, *parts = _strings(blob)
    except ValueError:
        return "its base64 is cut off: copy the line whole"
    if told != kind.encode():
        return f"it says {kind}, but it is a key of another kind"
    match kind, parts:
        case "ssh-ed25519", [point]:
            sound = len(point) == 32
        case "ssh-rsa", [_, modulus]:
            bits = int.from_bytes(modulus).bit_length()
            if bits < _LEAST_BITS:
                return f"an RSA key of {bits} bits is too weak: {_LEAST_BITS} at least"
            sound = True
        case kind, [curve, point] if kind in _CURVES:
            sound = kind.endswith(curve.decode("ascii", "replace")) and len(point) == _CURVES[kind] and point[:1] == b"\4"
        case kind, [_, *rest] if kind in _SK:
            sound = len(rest) == (2 if "ecdsa" in kind else 1)
        case _:
            sound = False
    return "" if sound else "its bytes are no key of that kind: copy the line whole"


def _strings(blob: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4])
        if end > len(blob):
            raise ValueError
        yield blob[at + 4 : end]
        at = end
