"""One certificate for the servers of a stack to know each other by: whoever cannot read its key is no part of it."""

from __future__ import annotations

import datetime
from pathlib import Path

from infra.local.folders import write_private

_VALID_DAYS = 3650  # it never leaves this machine, and a stack's data may be old when it is started again


def ensure(folder: Path) -> None:
    """Make ``ca.pem``, ``cert.pem`` and ``key.pem`` in a folder, readable by the user only, unless they are there.

    The authority's own key is thrown away: nothing else will ever be signed by it.
    """
    if all((folder / name).is_file() for name in ("ca.pem", "cert.pem", "key.pem")):
        return
    from ipaddress import ip_address

    from cryptography import x509  # here, since `down` and `status` need it not
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    folder.mkdir(mode=0o700, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)

    def builder(name: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
        return (
            x509.CertificateBuilder()
            .subject_name(names[0])
            .issuer_name(names[1])
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        )

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = (
        builder("semanir stack", "semanir stack", authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, hashes.SHA256())
    )
    loopback = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    cert = (
        builder("semanir server", "semanir stack", own.public_key())
        .add_extension(x509.SubjectAlternativeName(loopback), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(authority, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_private(folder / "ca.pem", ca.public_bytes(pem).decode())
    write_private(folder / "cert.pem", cert.public_bytes(pem).decode())
    key = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(folder / "key.pem", key.decode())
