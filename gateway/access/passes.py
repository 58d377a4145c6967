"""A pass: proof, kept by a visitor, that the password was given a moment ago.

Its key is the password's own hash: nothing else has to be kept or shared between processes, and a new
password ends every pass of the old one.
"""

import hmac


def issue(password_hash: str, subject: bytes, until: int) -> str:
    """A pass for the subject, good until then (seconds since the epoch)."""
    return f"{until}.{_signature(password_hash, subject, until)}"


def holds(given: str, password_hash: str, subject: bytes, now: float) -> bool:
    """Whether this is a pass for the subject that is still good."""
    until, _, signature = given.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) < 16 and int(until) > now):
        return False
    return hmac.compare_digest(signature.encode(), _signature(password_hash, subject, int(until)).encode())


def _signature(password_hash: str, subject: bytes, until: int) -> str:
    message = b"isthmus pass" + until.to_bytes(8, "big") + subject
    return hmac.digest(password_hash.encode(), message, "sha256").hex()
