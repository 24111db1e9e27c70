"""Which certificates are refused, and does the refusal say what to do?"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rancher_ext.client.transport import Transport
from rancher_ext.errors import CertificateRefused, RancherUnreachable
from tests.rancher_ext.client.servers import hang_up, say

Connect = Callable[..., Transport]


@dataclass
class Authority:
    """A CA of our own that signs servers' certificates."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        certificate = self._builder(self.subject, self.key.public_key(), days=3650, began=3650)
        signed = certificate.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(
            self.key, hashes.SHA256()
        )
        self.file = self.folder / f"{self.name}.pem"
        self.file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int, began: int
    ) -> x509.CertificateBuilder:
        start = datetime.now(UTC) - timedelta(days=began)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=began + days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )

    def server(self, *, host: str = "127.0.0.1", days: int = 30) -> ssl.SSLContext:
        """A context with a certificate for `host`; negative `days` are in the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rancher")])
        name: x509.GeneralName = x509.DNSName(host)
        if host[0].isdigit():
            name = x509.IPAddress(ip_address(host))
        certificate = (
            self._builder(subject, key.public_key(), days=days, began=90)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = self.folder / f"{self.name}-{host}-{days}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "rancher-ca")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "another-ca")


def test_a_certificate_of_the_named_ca_is_trusted(serve, connect: Connect, authority: Authority) -> None:
    server = serve(say(200, '{"ok": true}'), tls=authority.server())

    assert connect(server, ca_file=authority.file).get_json("/v3") == {"ok": True}


@pytest.mark.parametrize(
    ("certificate", "says", "cure"),
    [
        ({"days": -2}, "expired", "renew it"),
        ({"host": "rancher.example"}, "127.0.0.1", "DROVER_RANCHER_URL"),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused_before_anything_is_sent(
    serve, connect: Connect, authority: Authority, slept, certificate: dict[str, object], says: str, cure: str
) -> None:
    server = serve(tls=authority.server(**certificate))

    with pytest.raises(CertificateRefused) as caught:
        connect(server, ca_file=authority.file).get_json("/v3")

    assert says in str(caught.value)
    assert cure in caught.value.cure
    assert (server.asked, slept.waits) == ([], [])


@pytest.mark.parametrize("with_ca", [True, False], ids=["another CA is named", "no CA is named"])
def test_a_certificate_of_an_unknown_ca_says_which_file_to_set(
    serve, connect: Connect, authority: Authority, stranger: Authority, with_ca: bool
) -> None:
    server = serve(tls=authority.server())

    with pytest.raises(CertificateRefused) as caught:
        connect(server, ca_file=stranger.file if with_ca else None).get_json("/v3")

    assert "DROVER_RANCHER_CA_FILE" in caught.value.cure
    assert server.asked == []


def test_the_environment_s_bundle_does_not_win_over_the_named_ca(
    serve, connect: Connect, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger.file))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(stranger.file))
    server = serve(say(200, '{"ok": true}'), tls=authority.server())

    assert connect(server, ca_file=authority.file).get_json("/v3") == {"ok": True}
    with pytest.raises(CertificateRefused):
        connect(server, ca_file=stranger.file).get_json("/v3")


def test_plain_http_at_an_https_address_says_that_it_is_no_tls(serve, connect: Connect) -> None:
    server = serve()
    server.scheme = "https"

    with pytest.raises(CertificateRefused) as caught:
        connect(server).get_json("/v3")

    assert "speaks https" in caught.value.cure


def test_a_ca_file_that_is_missing_is_named(serve, connect: Connect, authority: Authority, tmp_path: Path) -> None:
    server = serve(tls=authority.server())

    with pytest.raises(CertificateRefused, match=r"nowhere\.pem"):
        connect(server, ca_file=tmp_path / "nowhere.pem").get_json("/v3")


def test_a_tls_connection_that_is_cut_is_a_lost_connection_and_no_matter_of_certificates(
    serve, connect: Connect, authority: Authority
) -> None:
    server = serve(hang_up, say(200, '{"ok": true}'), tls=authority.server())

    assert connect(server, ca_file=authority.file).get_json("/v3") == {"ok": True}

    server = serve(hang_up, tls=authority.server())
    with pytest.raises(RancherUnreachable) as caught:
        connect(server, ca_file=authority.file).request("PATCH", "/v3", body={})
    assert not caught.value.never_sent
    assert len(server.asked) == 1
