"""The local certificate: trusted by its file alone, kept, and renewed in time."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local import certificates
from local.certificates import ensure_certificate


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_strict_client_that_trusts_the_file_accepts_the_server(tmp_path: Path, name: str) -> None:
    certificate = ensure_certificate(tmp_path)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate.cert, certificate.key)
    client_context = ssl.create_default_context(cafile=str(certificate.cert))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with server_context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(b"hello")

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            socket.create_connection(listener.getsockname(), timeout=10) as raw,
            client_context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            assert tls.recv(5) == b"hello"
        thread.join(10)


def test_it_is_kept_while_good_and_replaced_when_broken_or_expiring(tmp_path: Path) -> None:
    first = ensure_certificate(tmp_path).cert.read_bytes()
    assert ensure_certificate(tmp_path).cert.read_bytes() == first
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600

    (tmp_path / "key.pem").write_text("torn", encoding="utf-8")
    second = ensure_certificate(tmp_path).cert.read_bytes()
    assert second != first

    certificates._write(ensure_certificate(tmp_path), datetime.now(UTC) - timedelta(days=340))
    old = (tmp_path / "cert.pem").read_bytes()
    assert ensure_certificate(tmp_path).cert.read_bytes() != old
