"""Create a throwaway CA and a certificate for localhost, so that candidates reach the SendGrid stub over real TLS."""

import compileall
import shutil
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


@dataclass(frozen=True)
class Certificates:
    """Paths of the generated files.

    `ca` contains only the throwaway CA, for Node, which has the public CAs built in. `certifi` is a folder for
    PYTHONPATH with a copy of certifi whose bundle includes the throwaway CA, so that each Python candidate loads a
    bundle of the usual size.
    """

    ca: Path
    certifi: Path
    server: Path  # private key and certificate


def make(folder: Path) -> Certificates:
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _certificate("bench CA", ca_key.public_key(), "bench CA", ca_key, ca=True)
    server = _certificate(HOST, server_key.public_key(), "bench CA", ca_key, ca=False)
    certificates = Certificates(folder / "ca.pem", folder / "python", folder / "server.pem")
    ca_pem = ca.public_bytes(serialization.Encoding.PEM)
    certificates.ca.write_bytes(ca_pem)
    shutil.copytree(Path(certifi.__file__).parent, certificates.certifi / "certifi")
    compileall.compile_dir(certificates.certifi, quiet=1)
    with (certificates.certifi / "certifi" / Path(certifi.where()).name).open("ab") as bundle:
        bundle.write(ca_pem)
    key = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificates.server.write_bytes(key + server.public_bytes(serialization.Encoding.PEM))
    return certificates


def _certificate(
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not ca:
        names = x509.SubjectAlternativeName([x509.DNSName(HOST), x509.IPAddress(ip_address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
