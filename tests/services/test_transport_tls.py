"""The transport over TLS, from the first octet or by STARTTLS."""

import datetime as dt
import ipaddress
import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from outbox.outcomes import Delivered, Unavailable, Unknown
from tests.services.raw_provider import behind_tls
from tests.services.transport_steps import (
    CONNECT,
    DATA,
    SHORT,
    assert_ended,
    deliver,
)
from tests.smtp import Hang, Rule, Stage

_USE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """For 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_USE, critical=True)  # this and the next: Python 3.13 looks for them
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def tls(smtp, raw, settings, certificate):
    """Put TLS in front of the server, from the first octet or by STARTTLS."""

    def put(*, by_starttls):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        raw(behind_tls(context, smtp.port, by_starttls=by_starttls))
        settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = by_starttls, not by_starttls

    return put


@pytest.fixture
def trusted(certificate, monkeypatch):
    """The certificate counts as a known authority's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


both_ways = pytest.mark.parametrize("by_starttls", [False, True], ids=["from the start", "by STARTTLS"])


@both_ways
@pytest.mark.usefixtures("trusted")
def test_mails_go_over_tls(smtp, smtp_transport, tls, by_starttls):
    tls(by_starttls=by_starttls)

    assert [type(deliver(smtp_transport, number=number)) for number in range(2)] == [Delivered, Delivered]
    assert len(smtp.record.connections) == 1


@both_ways
@pytest.mark.usefixtures("trusted")
def test_a_server_that_hangs_behind_tls_holds_nobody(smtp, smtp_transport, tls, outbox_settings, by_starttls):
    outbox_settings(ANSWER_TIMEOUT=timedelta(seconds=SHORT))
    tls(by_starttls=by_starttls)
    smtp.script.add(Rule(Stage.ANSWER, Hang()))

    assert_ended(deliver(smtp_transport), Unknown, DATA)


@both_ways
def test_a_certificate_that_nobody_vouches_for_is_unavailable(smtp, smtp_transport, tls, by_starttls):
    tls(by_starttls=by_starttls)

    ended = deliver(smtp_transport)

    assert_ended(ended, Unavailable, CONNECT)
    assert "certificate" in ended.reply.text
    assert smtp.record.messages == []


@pytest.mark.parametrize("setting", ["EMAIL_USE_TLS", "EMAIL_USE_SSL"])
def test_a_server_without_tls_gets_no_mail_when_tls_is_wanted(smtp, smtp_transport, settings, setting):
    setattr(settings, setting, True)
    settings.EMAIL_TIMEOUT = SHORT

    assert_ended(deliver(smtp_transport), Unavailable, CONNECT)
    assert smtp.record.said("MAIL") == []
