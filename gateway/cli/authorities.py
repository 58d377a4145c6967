"""What a program of `isthmus exec` trusts: the proxy's authority beside those that its machine trusts."""

import ssl
from pathlib import Path

# Debian and Alpine; Fedora; macOS and the BSDs: where Python's own OpenSSL was built to look elsewhere
_USUAL_PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


def with_machines(ours: str) -> str:
    """PEM of `ours`, first, and of what this machine trusts; `SSL_CERT_FILE`, where set, says what that is.

    Variables such as SSL_CERT_FILE replace a program's list. With ours alone it could verify no host that
    the proxy does not open; what is kept, it trusted before.
    """
    paths = ssl.get_default_verify_paths()
    for found in (paths.cafile, paths.openssl_cafile, *_USUAL_PLACES):
        if found and (file := Path(found)).is_file():
            return f"{ours.rstrip()}\n{file.read_text(encoding='utf-8', errors='replace')}"
    return ours
