"""The key that signs certificates, and the public keys that they are checked with.

The key is LEDGER_SIGNING_KEY; without it one is made once and kept in the home directory (`keys/`, for its owner only).
Its public part lies beside the certificates: give that to the auditor, by another way than the certificates.
"""

import base64
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from ledger_assets.accounting.certificate import fingerprint
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.settings import Settings
from ledger_assets.storage.write_once import write_once

CERTIFICATES: Final = "certificates"
_PUBLIC_KEYS: Final = "public-key-*.pem"


class SigningKeyError(LedgerError):
    """A key that cannot be used. The message never shows any of it."""


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The key of this installation, made if need be; its public part is published. Raises SigningKeyError."""
    if settings.signing_key is not None:
        key = Ed25519PrivateKey.from_private_bytes(settings.signing_key)
    else:
        key = _kept_key(settings.home)
    publish(settings.home, key.public_key())
    return key


def publish(home: Path, key: Ed25519PublicKey) -> Path:
    """Put a public key beside the certificates, as a PEM file that openssl reads."""
    directory = home / CERTIFICATES
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"public-key-{fingerprint(key.public_bytes_raw())[:16]}.pem"
    if not path.exists():
        write_once(path, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def trusted_keys(home: Path) -> set[bytes]:
    """The public keys that lie beside the certificates, 32 bytes each. Raises SigningKeyError for an unreadable one."""
    return {read_public_key(path) for path in sorted((home / CERTIFICATES).glob(_PUBLIC_KEYS))}


def read_public_key(path: Path) -> bytes:
    """The Ed25519 key of a PEM file, 32 bytes. Raises SigningKeyError."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as fault:
        raise SigningKeyError(str(path), f"it cannot be read ({type(fault).__name__})", "name a PEM file") from fault
    if not isinstance(key, Ed25519PublicKey):
        raise SigningKeyError(str(path), "certificates are signed with Ed25519", "name the public key beside them")
    return key.public_bytes_raw()


def _kept_key(home: Path) -> Ed25519PrivateKey:
    path = home / "keys" / "certificate-signing.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.chmod(0o700)  # the umask may have taken from the mode, or the directory been there
        seed = base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw())
        write_once(path, seed + b"\n", mode=0o600)
    fix = "put the key back from its backup; certificates signed with it stay valid without it"
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SigningKeyError(str(path), "others may read it", f"chmod 600 {path}, and think about a new key")
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_bytes().strip(), validate=True))
    except ValueError:
        raise SigningKeyError(str(path), "it holds no key (32 bytes in base64)", fix) from None
