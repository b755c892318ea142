"""Create a throwaway CA and a certificate for localhost, so that candidates reach the SendGrid stub over real TLS."""

import compileall
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "localhost"
CA_KEY_USAGE = x509.KeyUsage(  # Python 3.13 requires it of a CA
    key_cert_sign=True,
    crl_sign=False,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Certificates:
    """Paths of the generated files.

    `ca` contains only the throwaway CA, for Node, which has the public CAs built in. `certifi` is a folder for
    PYTHONPATH with a copy of certifi whose bundle includes the throwaway CA, so that naive Python loads a bundle of the
    usual size. `hashed` is a directory like /etc/ssl/certs, where this function finds a CA by its hash.
    """

    ca: Path
    certifi: Path
    hashed: Path
    server: Path  # private key and certificate


def make(folder: Path) -> Certificates:
    ca, server = write_certificates(folder, HOST)
    certificates = Certificates(ca, folder / "python", folder / "hashed", server)
    certificates.hashed.mkdir()
    shutil.copy(ca, certificates.hashed)
    subprocess.run(["openssl", "rehash", str(certificates.hashed)], check=True)  # noqa: S603, S607  (fixed arguments)
    shutil.copytree(Path(certifi.__file__).parent, certificates.certifi / "certifi")
    compileall.compile_dir(certificates.certifi, quiet=1)
    with (certificates.certifi / "certifi" / Path(certifi.where()).name).open("ab") as bundle:
        bundle.write(ca.read_bytes())
    return certificates


def write_certificates(folder: Path, host: str) -> tuple[Path, Path]:
    """Write a CA's certificate, and a private key with a certificate for `host` and 127.0.0.1. Return both files."""
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ip_address("127.0.0.1"))])
    ca = _builder("test CA", ca_key.public_key(), ca_key.public_key(), ca=True).add_extension(
        CA_KEY_USAGE, critical=True
    )
    server = _builder(host, server_key.public_key(), ca_key.public_key(), ca=False).add_extension(names, critical=False)
    key = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    server_file.write_bytes(key + server.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return ca_file, server_file


def _builder(
    name: str, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey, *, ca: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("test CA"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
