from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from loopback import loopback, looped

from tickerplant.config.settings import SimulateSettings
from tickerplant.errors import ConfigError
from tickerplant.server.certificate import (
    CHECKED_EVERY_S,
    MAX_PEM_BYTES,
    OwnCertificate,
    ServedCertificate,
    context_of,
    own_certificate,
    own_folder,
)
from tickerplant.startup.ready import Offer, examples_of, ready_line, symbol_counts_of
from tickerplant.startup.tls import tls_of


def written(folder: Path, name: str, pem: bytes) -> str:
    path = folder / name
    path.write_bytes(pem)
    return str(path)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnCertificate:
    return own_certificate(tmp_path_factory.mktemp("tls"), [])


def test_a_user_without_a_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_242_424)
    with pytest.raises(ConfigError, match="set XDG_CACHE_HOME"):
        own_folder()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def test_a_key_that_does_not_fit_is_named(tmp_path: Path, authority: trustme.CA) -> None:
    one, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    cert = written(tmp_path, "cert.pem", one.cert_chain_pems[0].bytes())
    key = written(tmp_path, "key.pem", other.private_key_pem.bytes())
    with pytest.raises(
        ConfigError, match=r"key.pem' for --tls-key: expected the key of .*cert.pem"
    ):
        context_of(cert, key)
    key = written(tmp_path, "key.pem", one.private_key_pem.bytes())
    assert context_of(cert, key)
    assert context_of(written(tmp_path, "both.pem", one.private_key_and_cert_chain_pem.bytes()))
    with pytest.raises(
        ConfigError, match=r"for --tls-cert: expected a PEM file with a key, or --tls-key"
    ):
        context_of(cert)


@pytest.mark.parametrize(
    ("days", "expected"), [(-1, "it expired "), (None, r"a PEM file with a certificate")]
)
def test_what_is_no_certificate_now_is_named(
    tmp_path: Path, authority: trustme.CA, days: int | None, expected: str
) -> None:
    pem = b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"
    if days is not None:
        end = datetime.now(UTC) + timedelta(days=days)
        pem = authority.issue_cert(
            "localhost", not_after=end
        ).private_key_and_cert_chain_pem.bytes()
    with pytest.raises(ConfigError, match=rf"cert.pem' for --tls-cert.*{expected}"):
        context_of(written(tmp_path, "cert.pem", pem))


def test_files_that_cannot_be_read_are_named(tmp_path: Path, authority: trustme.CA) -> None:
    with pytest.raises(ConfigError, match=r"none.pem' for --tls-cert.*No such file"):
        context_of(str(tmp_path / "none.pem"))
    cert = written(tmp_path, "cert.pem", authority.issue_cert("a").cert_chain_pems[0].bytes())
    for key, why in (
        (str(tmp_path), "is a folder"),
        ("/dev/zero", "is a device"),
        (written(tmp_path, "long", b"-" * (MAX_PEM_BYTES + 1)), "more than 1,048,576 bytes"),
        (written(tmp_path, "der", b"\xff\xfe"), "it is not text"),
        (written(tmp_path, "locked", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "passphrase"),
        (written(tmp_path, "torn", b"-----BEGIN PRIVATE KEY-----\nx\n"), "can be used"),
    ):
        with pytest.raises(ConfigError, match=f"for --tls-key: .*{why}"):
            context_of(cert, key)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (
            SimulateSettings(tls="self", tls_cert="a"),
            "invalid value 'self' for --tls: .* not to be combined with --tls-cert",
        ),
        (SimulateSettings(tls_key="a"), "--tls-cert is missing: expected the certificate"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: SimulateSettings, wrong: str
) -> None:
    with pytest.raises(ConfigError, match=wrong):
        tls_of(settings)


def test_the_own_certificate_stays_until_it_lacks_a_name(tmp_path: Path) -> None:
    own = own_certificate(tmp_path / "new" / "tls", ["0.0.0.0", "bad_name"])  # noqa: S104
    first = own.authority.read_bytes(), own.server.read_bytes()
    assert {modes(path) for path in own.server.parent.iterdir()} == {0o600}
    assert modes(own.server.parent) == 0o700
    own.server.parent.chmod(0o777)
    assert b"PRIVATE" not in first[0]
    assert own_certificate(tmp_path / "new" / "tls", ["localhost"]) == own
    assert (own.authority.read_bytes(), own.server.read_bytes()) == first, "it is trusted already"
    own_certificate(tmp_path / "new" / "tls", ["plant.example", "192.0.2.1"])
    second = own.server.read_bytes()
    assert second != first[1]
    own_certificate(tmp_path / "new" / "tls", [])
    assert own.server.read_bytes() == second, "it has more names than are wanted"
    own.authority.write_bytes(first[0])
    own_certificate(tmp_path / "new" / "tls", [])
    assert own.server.read_bytes() != second, "the other file is not its authority"
    assert sorted(path.name for path in own.server.parent.iterdir()) == [
        "ca.pem",
        "lock",
        "server.pem",
    ]
    assert modes(own.server.parent) == 0o700, "others could use it"


def modes(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigError,
        match=r"invalid value 'self' for --tls: .*file/tls, that can be written \(Not a",
    ):
        own_certificate(tmp_path / "file" / "tls", [])


def test_the_lock_is_no_link_to_another_file(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "another")
    with pytest.raises(ConfigError, match="is a link"):
        own_certificate(tmp_path, [])
    assert not (tmp_path / "another").exists()


@looped
async def test_clients_are_shown_the_secure_addresses_and_whom_to_trust(
    own: OwnCertificate,
) -> None:
    async with loopback(tls=ServedCertificate(str(own.server))) as house:
        plant, welcome = house.plant, house.server.welcome()
        offer = Offer(
            urls=house.server.urls,
            schemes=house.server.schemes,
            profile=plant.profile.name,
            symbol_counts=symbol_counts_of(plant),
            examples=examples_of(plant),
            authority=str(own.authority),
        )
        text = ready_line(offer, as_json=False)
    address = text.split("wss://")[1].split()[0]
    assert f"curl --cacert {own.authority} 'https://{address}/" in text
    assert f"SSL_CERT_FILE={own.authority} " in text
    assert f"tickerplant watch btcusdt@miniTicker --url wss://{address}\n" in text
    assert "http://" not in text + welcome
    assert "ws://" not in (text + welcome).replace("wss://", "")


def issued(folder: Path, name: str = "server.pem", days: int = 30) -> trustme.LeafCert:
    """Write a certificate with its key, as an ACME client would: another file takes the name."""
    leaf = trustme.CA().issue_cert(
        "localhost", "127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=days)
    )
    new = folder / f"{name}.new"
    new.write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
    new.replace(folder / name)
    return leaf


class Watched(ServedCertificate):
    """A certificate at which is looked when a test says so."""

    now_s = 0.0

    def is_due(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += CHECKED_EVERY_S
            self.look(self.now_s)


def test_a_certificate_is_replaced_when_its_file_has_changed_and_rests(tmp_path: Path) -> None:
    issued(tmp_path, days=30)
    served = Watched(str(tmp_path / "server.pem"))
    first, expires_s = served.context, served.expires_s
    served.is_due(3)
    assert served.context is first, "it did not change"
    issued(tmp_path, days=60)
    served.is_due()
    assert served.context is first, "it may still be changing"
    served.look(served.now_s + CHECKED_EVERY_S / 2)
    assert served.context is first, "it is not time"
    served.is_due()
    assert served.context is not first
    assert served.expires_s > expires_s + 86_400 * 29
    assert (served.reloads, served.failures) == (1, 0)


def test_a_link_that_is_set_to_another_folder_is_a_change(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        issued(tmp_path / name, "tls.pem")
    data = tmp_path / "..data"
    data.symlink_to("old")
    (tmp_path / "tls.pem").symlink_to("..data/tls.pem")
    served = Watched(str(tmp_path / "tls.pem"))
    first = served.context
    (tmp_path / "..data_tmp").symlink_to("new")
    (tmp_path / "..data_tmp").rename(data)  # as the kubelet does
    served.is_due(2)
    assert served.context is not first


@pytest.mark.parametrize("problem", ["key of another", "no PEM", "gone", "expired", "a folder"])
def test_a_certificate_that_is_no_good_changes_nothing_and_is_said_once(
    tmp_path: Path, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    issued(tmp_path)
    path = tmp_path / "server.pem"
    served = Watched(str(path))
    first, expires_s = served.context, served.expires_s
    if problem == "key of another":
        cert = trustme.CA().issue_cert("localhost").cert_chain_pems[0].bytes()
        path.write_bytes(cert + trustme.CA().issue_cert("a").private_key_pem.bytes())
    elif problem == "no PEM":
        path.write_text("not a certificate")
    elif problem == "expired":
        issued(tmp_path, days=-1)
    else:
        path.unlink()
    if problem == "a folder":
        path.mkdir()
    served.is_due(5)
    assert (served.context, served.expires_s) == (first, expires_s)
    assert (served.reloads, served.failures) == (0, 1)
    said = capsys.readouterr().out
    assert said.count("the certificate in use stays") == 1
    if problem == "a folder":
        path.rmdir()
    issued(tmp_path)
    served.is_due(2)
    assert (served.reloads, served.failures) == (1, 1), "the next one is good"


def test_a_certificate_and_its_key_may_be_replaced_one_after_the_other(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaves = [trustme.CA().issue_cert("localhost") for _ in range(2)]
    cert.write_bytes(leaves[0].cert_chain_pems[0].bytes())
    key.write_bytes(leaves[0].private_key_pem.bytes())
    served = Watched(str(cert), str(key))
    cert.write_bytes(leaves[1].cert_chain_pems[0].bytes())
    served.is_due()
    key.write_bytes(leaves[1].private_key_pem.bytes())
    served.is_due(2)
    assert (served.reloads, served.failures) == (1, 0), "half of a change is not looked at"
