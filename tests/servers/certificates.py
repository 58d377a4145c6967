"""A self-signed certificate for servers that listen on this machine."""

import subprocess
from pathlib import Path


def certificate(folder: Path, name: str = "localhost") -> str:
    """Makes `cert.pem` and `key.pem` in the folder; the certificate as PEM, to be trusted as its own CA."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    ]
    command += ["-addext", f"subjectAltName=DNS:{name}", "-keyout", str(folder / "key.pem")]
    subprocess.run([*command, "-out", str(folder / "cert.pem")], check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)
    return (folder / "cert.pem").read_text()
