"""The certificate of the local cloud's TLS server: self-signed, for loopback, trusted by naming its file."""

from __future__ import annotations

import fcntl
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = timedelta(days=365)
_RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True)
class Certificate:
    """PEM files of a certificate, which is its own authority, and of its private key."""

    cert: Path
    key: Path


def ensure_certificate(folder: Path) -> Certificate:
    """The folder's certificate for localhost and 127.0.0.1; made when missing, broken or about to expire.

    `REQUESTS_CA_BUNDLE=<cert>` is all that requests, and so azure-ai-ml and azure-identity, need to trust it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    certificate = Certificate(cert=folder / "cert.pem", key=folder / "key.pem")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _usable(certificate, datetime.now(UTC)):
            _write(certificate, datetime.now(UTC))
    return certificate


def _usable(certificate: Certificate, now: datetime) -> bool:
    try:
        cert = x509.load_pem_x509_certificate(certificate.cert.read_bytes())
        key = serialization.load_pem_private_key(certificate.key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return False
    return cert.public_key() == key.public_key() and now + _RENEW_BEFORE < cert.not_valid_after_utc


def _write(certificate: Certificate, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    cert = _self_signed(key, now)
    certificate.key.unlink(missing_ok=True)
    certificate.key.touch(mode=0o600)
    certificate.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    certificate.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))


def _self_signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dropscore local cloud")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    # both key identifiers: Python 3.13 verifies by the letter of RFC 5280 (VERIFY_X509_STRICT)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # a clock that lags a little behind must not find it "not yet valid"
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
