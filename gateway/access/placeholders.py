"""Keys for AWS Signature Version 4 that open nothing: each token has a pair, derived from it.

A program of S3's signs with them, and the proxy can tell that it did: the database keeps a token's SHA-256,
from which both halves follow, so nothing more is kept. From the keys nobody gets back to the token, and
without the token no request gets as far as its signature: who has the keys alone has nothing.
"""

import hmac
from dataclasses import dataclass, field

_PREFIX = "ISTHMUS"
_ID = b"isthmus aws access key id"
_SECRET = b"isthmus aws secret access key"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What a program is given as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as long as Amazon's own."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


def placeholder(digest: bytes) -> Placeholder:
    """The keys of the token with this SHA-256.

    Both are HMAC-SHA256 under the digest, in hexadecimal: letters and digits, since some programs' settings
    take no other characters as they are.
    """
    name, secret = (hmac.digest(digest, message, "sha256").hex() for message in (_ID, _SECRET))
    return Placeholder(_PREFIX + name[:13].upper(), secret[:40])
