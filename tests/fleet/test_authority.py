"""What fleet/authority.py promises: certificates that strict verifiers take, and a list of the revoked that no clock makes invalid."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from fleet import authority, files
from fleet.authority import Authority
from fleet.city import City
from fleet.errors import Refused

NOW = 1_790_000_000
DAY = 86_400


def made(name: str = "malang access points", now: float = NOW) -> tuple[Authority, bytes, bytes]:
    key = authority.new_key()
    certificate = authority.self_signed(key, name, now)
    return Authority(certificate, key, lambda: now), certificate, key


@pytest.fixture
def city(tmp_path: Path) -> City:
    at = City(tmp_path, "malang")
    at.ca.mkdir()
    at.broker_folder.mkdir()
    for name in (authority.CA, authority.OPERATORS):
        signer, certificate, key = made(name)
        (at.ca / f"{name}.pem").write_bytes(certificate)
        files.put(at.ca / f"{name}.key", key, files.PRIVATE)
        if name == authority.CA:
            (at.ca / "crl.pem").write_bytes(signer.crl(None, []))
    return at


def verify(folder: Path, ca: bytes, crl: bytes, certificate: bytes, purpose: str = "sslclient", at: float = NOW, *more: str) -> str:
    """What openssl says: "OK", or why not."""
    for name, text in (("ca.pem", ca), ("crl.pem", crl), ("leaf.pem", certificate)):
        (folder / name).write_bytes(text)
    words = ["-x509_strict", "-crl_check", "-CRLfile", "crl.pem", "-CAfile", "ca.pem", "-purpose", purpose, "-attime", str(int(at)), *more, "leaf.pem"]
    run = subprocess.run(["openssl", "verify", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=False)
    return "OK" if run.returncode == 0 else run.stderr


@pytest.mark.needs("openssl")
def test_a_client_is_good_by_openssls_strict_rules(tmp_path: Path) -> None:
    """As a client, not as a server; until it is revoked."""
    ca, certificate, _ = made()
    issued, crl = ca.client("rw-0501"), ca.crl(None, [])
    assert verify(tmp_path, certificate, crl, issued.certificate) == "OK"
    assert "purpose" in verify(tmp_path, certificate, crl, issued.certificate, "sslserver")
    assert "revoked" in verify(tmp_path, certificate, ca.crl(crl, [issued.serial]), issued.certificate)


@pytest.mark.needs("openssl")
def test_a_server_is_good_for_its_names(tmp_path: Path) -> None:
    """Host names and addresses of both kinds, and none else."""
    ca, certificate, _ = made()
    server, crl = ca.server(["mqtt.malang.example", "192.0.2.7", "2001:db8::7"]), ca.crl(None, [])
    good = (("-verify_hostname", "mqtt.malang.example"), ("-verify_ip", "192.0.2.7"), ("-verify_ip", "2001:db8::7"))
    assert [verify(tmp_path, certificate, crl, server.certificate, "sslserver", NOW, *name) for name in good] == ["OK"] * 3
    assert "mismatch" in verify(tmp_path, certificate, crl, server.certificate, "sslserver", NOW, "-verify_hostname", "other.example")
    assert "purpose" in verify(tmp_path, certificate, crl, server.certificate, "sslclient")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Shake hands in memory; raises what either side finds wrong."""
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    ends = [server.wrap_bio(pipes[0], pipes[1], server_side=True), client.wrap_bio(pipes[2], pipes[3], server_hostname="mqtt.example")]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            pipes[0].write(pipes[3].read())
            pipes[2].write(pipes[1].read())
    ends[0].write(b"x")
    pipes[2].write(pipes[1].read())
    assert ends[1].read(1) == b"x"


def context(folder: Path, purpose: int, trusted: bytes, issued: authority.Issued, crl: bytes | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(purpose)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT | (ssl.VERIFY_CRL_CHECK_LEAF if crl else 0)
    (folder / "trusted.pem").write_bytes(trusted + (crl or b""))
    made.load_verify_locations(folder / "trusted.pem")
    (folder / "chain.pem").write_bytes(issued.certificate + issued.key)
    made.load_cert_chain(folder / "chain.pem")
    return made


def test_pythons_strict_rules_take_both_ends(tmp_path: Path) -> None:
    """As Python 3.13 checks them on a router, and a broker that looks at the list; a revoked one is refused."""
    key = authority.new_key()
    certificate = authority.self_signed(key, "malang", NOW)
    ca = Authority(certificate, key)
    client, crl = ca.client("rw-0501"), ca.crl(None, [])
    near = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, certificate, client)
    server = ca.server(["mqtt.example"])
    handshake(context(tmp_path, ssl.PROTOCOL_TLS_SERVER, certificate, server, crl), near)
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(context(tmp_path, ssl.PROTOCOL_TLS_SERVER, certificate, server, ca.crl(crl, [client.serial])), near)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("days", [-399, 0, 3640])
def test_a_wrong_clock_shuts_nobody_out(days: int, tmp_path: Path) -> None:
    """A broker a year early or ten years late still takes authority, certificate and list, also one made after many revocations."""
    ca, certificate, _ = made()
    crl = ca.crl(None, [])
    for number in range(1, 51):
        crl = ca.crl(crl, [f"{number:032x}"])
    assert verify(tmp_path, certificate, crl, ca.client("rw-0501").certificate, "sslclient", NOW + days * DAY) == "OK"


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("later", [-3 * 365 * DAY, 0, 20 * 365 * DAY])
def test_each_list_is_later_than_the_one_before(later: float, tmp_path: Path) -> None:
    """OpenSSL keeps the one with the latest date of those it was given: by a second, whatever the clock says now, and never from the future."""
    ca, certificate, key = made()
    first = ca.crl(None, [])
    client = ca.client("rw-0501")
    second = Authority(certificate, key, lambda: NOW + later).crl(first, [client.serial])
    dates = [subprocess.run(["openssl", "crl", "-lastupdate", "-noout"], input=one, capture_output=True, check=True).stdout for one in (first, second)]
    seconds = [ssl.cert_time_to_seconds(date.decode().strip().partition("=")[2]) for date in dates]
    assert seconds[1] - seconds[0] == 1 and seconds[1] <= NOW - 399 * DAY
    for both in (first + second, second + first):
        assert "revoked" in verify(tmp_path, certificate, both, client.certificate)


@pytest.mark.needs("openssl")
def test_each_list_has_its_number() -> None:
    """RFC 5280, 5.2.3."""
    ca, *_ = made()
    crl = ca.crl(ca.crl(None, []), [])
    assert b"X509v3 CRL Number: \n                2\n" in subprocess.run(["openssl", "crl", "-text"], input=crl, capture_output=True, check=True).stdout


def test_only_what_was_brief_is_ever_forgotten() -> None:
    """An access point's certificate stays on the list for good; one that was good for minutes goes after a month."""
    ca, certificate, key = made()
    crl = ca.crl(ca.crl(None, ["aa"]), ["bb"], is_brief=True)
    assert authority.revoked(crl) == {f"{0xAA:032x}", f"{0xBB:032x}"}
    after = [Authority(certificate, key, lambda days=days: NOW + days * DAY).crl(crl, []) for days in (29, 31)]  # type: ignore[misc]
    assert [len(authority.revoked(one)) for one in after] == [2, 1]


def test_serials_are_random_and_positive() -> None:
    """32 digits each, no two alike, and the sign is never set."""
    ca, *_ = made()
    serials = {ca.client("rw-1").serial for _ in range(100)}
    assert len(serials) == 100 and all(len(one) == 32 and int(one[0], 16) in range(4, 8) for one in serials)


def test_what_a_certificate_says_is_read_back() -> None:
    """Name, serial, both dates, host names and addresses."""
    ca, *_ = made()
    client, server = ca.client("rw-0501", days=30), ca.server(["mqtt.example", "192.0.2.7", "::1"])
    assert authority.read(client.certificate) == ("rw-0501", client.serial, NOW - 400 * DAY, NOW + 30 * DAY, ())
    assert client.expires_at == NOW + 30 * DAY
    assert authority.read(server.certificate).names == ("mqtt.example", "192.0.2.7", "::1")
    with pytest.raises(Refused, match="cannot be read"):
        authority.read(b"nonsense")


def test_a_clock_that_went_back_makes_no_certificate_that_is_over_soon() -> None:
    """Made in 1970 by the clock, it lasts as long as one made with the authority; and none outlives the authority."""
    _, certificate, key = made()
    early, late = Authority(certificate, key, lambda: 0), Authority(certificate, key, lambda: NOW + 7200 * DAY)
    assert early.client("rw-1").expires_at == NOW + authority.CLIENT_DAYS * DAY
    assert late.client("rw-1").expires_at == NOW + authority.AUTHORITY_DAYS * DAY


def test_a_renewed_certificate_keeps_its_key() -> None:
    """The key that is given is the one that comes back."""
    ca, *_ = made()
    key = authority.new_key()
    issued = ca.client("rw-1", key=key)
    assert issued.key == key and authority.is_pair(issued.certificate, key) and not authority.is_pair(issued.certificate, authority.new_key())


def test_an_authority_of_the_same_name_is_a_stranger() -> None:
    """Neither its certificates nor its lists are taken for ours."""
    ours, theirs = made()[0], made()[0]
    assert ours.has_signed(ours.client("a").certificate) and not ours.has_signed(theirs.client("a").certificate)
    assert ours.has_listed(ours.crl(None, [])) and not ours.has_listed(theirs.crl(None, [])) and not ours.has_listed(b"")
    assert not ours.has_signed(b"nonsense")


def test_no_key_is_shown() -> None:
    """Neither as text nor inside another text."""
    issued = made()[0].client("rw-1")
    assert "key=***" in f"{[issued]}" and "PRIVATE" not in f"{[issued]}"


def test_a_brief_certificate_is_good_for_minutes() -> None:
    """A quarter of an hour, for a broker whose clock is a little off."""
    assert authority.read(made()[0].brief("rw-1").certificate).expires_at == NOW + 900


def test_revoking_writes_the_list_here_and_for_our_broker(city: City) -> None:
    """Both are the same and hold all that was revoked so far."""
    one, two = authority.issue_client(city, "rw-1"), authority.issue_client(city, "rw-2")
    authority.revoke(city, [one.serial])
    authority.revoke(city, [two.serial])
    texts = {(folder / "crl.pem").read_bytes() for folder in (city.ca, city.broker_folder)}
    assert len(texts) == 1 and authority.revoked(texts.pop()) == {one.serial, two.serial}


def test_a_list_that_is_gone_is_not_begun_anew(city: City) -> None:
    """Our broker still has the old one, and a new one would let in all that was ever revoked."""
    authority.revoke(city, [authority.issue_client(city, "rw-1").serial])
    (city.ca / "crl.pem").unlink()
    before = (city.broker_folder / "crl.pem").read_bytes()
    with pytest.raises(Refused, match=r"crl\.pem: is missing; bring it back:  rwctl init "):
        authority.revoke(city, [authority.issue_client(city, "rw-2").serial])
    with pytest.raises(Refused, match="rwctl init "):
        authority.listed(city)
    assert (city.broker_folder / "crl.pem").read_bytes() == before


def test_an_authority_that_is_not_whole_is_refused(city: City) -> None:
    """A key that others may read, one that is another's, one that is missing: each with what to do."""
    key = city.ca / "ca.key"
    key.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        authority.open_authority(city)
    files.put(key, authority.new_key(), files.PRIVATE)
    with pytest.raises(Refused, match=r"do not belong together.*backup"):
        authority.open_authority(city)
    key.unlink()
    with pytest.raises(Refused, match=r"ca\.key: cannot be read"):
        authority.issue_client(city, "rw-1")
