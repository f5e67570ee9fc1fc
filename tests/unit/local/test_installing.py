"""What the set-up passes to uv, when pip takes over, and what it says when neither can."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import installing
from local.installing import (
    HopelessInstallError,
    InstallError,
    explain,
    install,
    pip_settings,
    uv_environment,
    uv_options,
)

_LISTING = """\
:env:.find-links='/wheels'
global.index-url='https://mirror.example/simple'
global.extra-index-url='file:///a/simple file:///b/simple'
global.find-links='/overridden'
global.cert='/etc/ca.pem'
install.trusted-host='mirror.example'
freeze.timeout='10'
not a setting
"""


def test_uv_is_told_what_pip_is_configured_to_do() -> None:
    settings = pip_settings(_LISTING)

    assert uv_options(settings) == [
        *("--index-url", "https://mirror.example/simple"),
        *("--extra-index-url", "file:///a/simple", "--extra-index-url", "file:///b/simple"),
        *("--find-links", "/wheels"),
        *("--allow-insecure-host", "mirror.example"),
        *("--index-strategy", "unsafe-best-match"),
    ]


def test_without_settings_uv_gets_no_options_and_an_offline_pip_an_offline_uv() -> None:
    assert uv_options(pip_settings("")) == []
    assert uv_options(pip_settings("global.no-index='true'")) == ["--no-index"]


def test_the_certificate_is_passed_on_unless_the_caller_named_one() -> None:
    settings = pip_settings(_LISTING)

    assert uv_environment(settings, {"VIRTUAL_ENV": "/elsewhere"}) == {"SSL_CERT_FILE": "/etc/ca.pem"}
    assert uv_environment(settings, {"SSL_CERT_FILE": "/mine.pem"}) == {"SSL_CERT_FILE": "/mine.pem"}


@pytest.mark.parametrize(
    ("output", "words", "hopeless"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full", True),
        ("npm error code ENOSPC", "the disk is full", True),
        ("error: failed to create directory: Permission denied (os error 13)", "cannot be written", True),
        ("because ensurepip is not\navailable.", "apt install python3-venv", False),
        ("/usr/bin/python3: No module named venv", "apt install python3-venv", False),
        ("ssl.SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED certificate verify failed", "PIP_CERT", False),
        ("npm error code ECONNREFUSED\nnpm error network", "no npm registry answers", False),
        ("npm error code E404", "does not have the pinned packages", False),
        ("error: Request failed: dns error: failed to lookup address", "PIP_INDEX_URL", False),
        ("NewConnectionError: [Errno 111] Connection refused", "PIP_INDEX_URL", False),
        ("ERROR: No matching distribution found for uv==0", "does not have the pinned packages", False),
        ("segfault", "the installer failed", False),
    ],
)
def test_failures_are_said_in_words(output: str, words: str, hopeless: bool) -> None:
    meaning, no_use = explain(output)

    assert words in meaning
    assert no_use is hopeless


def _script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def _fake_venv(folder: Path) -> Path:
    """An environment whose python only notes how it was called."""
    _script(folder / "venv/bin/python", f'echo "$@" >> {folder}/python.calls')
    return folder / "venv"


def test_pip_takes_over_where_uv_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "find_uv", lambda: _script(tmp_path / "uv", "echo keyring >&2; exit 2"))

    install(_fake_venv(tmp_path), ["-r", "pins.txt"], what="installing pins")

    calls = (tmp_path / "python.calls").read_text(encoding="utf-8").splitlines()
    assert calls[-1] == "-m pip install --quiet --disable-pip-version-check -r pins.txt"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo 'No space left on device' >&2; exit 2", "the disk is full"),
        ("exit 130", "interrupted"),  # how a shell tells of SIGINT, which whoever runs the tests may have ignored
        ("kill -TERM $$", "interrupted"),
    ],
)
def test_pip_is_not_tried_where_it_would_fail_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    monkeypatch.setattr(installing, "find_uv", lambda: _script(tmp_path / "uv", body))

    with pytest.raises(HopelessInstallError, match=words):
        install(_fake_venv(tmp_path), ["-r", "pins.txt"], what="installing pins")

    assert not (tmp_path / "python.calls").exists()


def test_when_both_fail_the_message_has_the_task_the_meaning_and_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "find_uv", lambda: _script(tmp_path / "uv", "exit 2"))
    _script(tmp_path / "venv/bin/python", 'case "$*" in *install*) echo "Connection refused by x" >&2; exit 1;; esac')

    with pytest.raises(InstallError) as caught:
        install(tmp_path / "venv", ["-r", "pins.txt"], what="installing pins")

    first, *rest = str(caught.value).splitlines()
    assert first == (
        "installing pins: no Python package index answers. Check the network, or set PIP_INDEX_URL to one that does."
    )
    assert "Connection refused by x" in "\n".join(rest)
