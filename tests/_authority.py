"""A certificate authority that nobody outside the tests trusts."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from attrs import define
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@define
class Authority:
    """A certificate authority that lives as long as the tests."""

    _key: object
    _certificate: object
    _folder: object

    @classmethod
    def made(cls, folder):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throwaway")])
        return cls(key, cls._signed(name, name, key, key, ca=True), folder)

    @staticmethod
    def _signed(name, issuer, key, issuers_key, *names, ca=False):
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.BasicConstraints(ca=ca, path_length=None), critical=True
            )
        )
        # OpenSSL's strict mode, the default of Python 3.13, asks for them.
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        ).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                issuers_key.public_key()
            ),
            critical=False,
        )
        if ca:
            signs = dict.fromkeys(_USES, False) | {"key_cert_sign": True}
            builder = builder.add_extension(x509.KeyUsage(**signs), critical=True)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(list(names)), critical=False
            )
        return builder.sign(issuers_key, hashes.SHA256())

    def server(self, host="localhost"):
        """The TLS settings of a server that is called *host*."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._signed(
            name, self._certificate.subject, key, self._key, x509.DNSName(host)
        )
        path = self._folder / f"{host}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(path)
        return tls

    @property
    def file(self):
        """Where its own certificate is, for who trusts a file."""
        path = self._folder / "authority.pem"
        path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def client(self):
        """The TLS settings of a client that trusts this authority alone."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        pem = self._certificate.public_bytes(serialization.Encoding.PEM)
        tls.load_verify_locations(cadata=pem.decode())
        return tls


@pytest.fixture(name="authority", scope="session")
def _authority(tmp_path_factory):
    return Authority.made(tmp_path_factory.mktemp("authority"))
