"""HTTP authentication by name and password: Basic (RFC 7617) and Digest (RFC 7616)."""

import hashlib
import re
import secrets
from collections.abc import Iterable

from connectors.http1.authorisation import basic
from connectors.interface import BadCredential

# strongest first: what a server offers beside it is ignored (RFC 7616, 3.7)
_HASHES = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
_CHALLENGE = re.compile(r"(?:^|,)\s*([A-Za-z][\w-]*)(?=\s+[\w-]+\s*=|\s*(?:,|$))")
_PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class Authentication:
    """Answers one server's challenges for one user; learns the scheme from its first refusal."""

    def __init__(self, username: str | None, password: str | None) -> None:
        self._username = username
        self._password = password or ""
        self._basic: str | None = None
        self._digest: Digest | None = None

    @property
    def may_be_refused_late(self) -> bool:
        """Whether the server may turn down what we send although the password is right: its nonce ages."""
        return self._digest is not None

    def header(self, method: str, target: str) -> str | None:
        """The Authorization header of a request; None before the server asked for one."""
        if self._digest is not None:
            return self._digest.answer(method, target)
        return self._basic

    def refused(self, challenges: Iterable[str], sent: str | None) -> None:
        """Takes a refusal (401) in: returns when the request may be sent again with a new header.

        Args:
            challenges: the WWW-Authenticate headers.
            sent: what the refused request had.

        Raises:
            BadCredential: the server does not accept the name and password, or asks in a way that we lack.
        """
        offered = [found for text in challenges for found in parse_challenges(text)]
        if self._username is None:
            raise BadCredential("the store asks for a user name and password, the account has none")
        digests = [parameters for scheme, parameters in offered if scheme == "digest"]
        if chosen := _strongest(digests):
            stale = chosen.get("stale", "").lower() == "true"
            if sent is not None and sent.startswith("Digest ") and not stale:
                raise BadCredential("the store does not accept the user name or password")
            self._digest = Digest(self._username, self._password, chosen)
        elif any(scheme == "basic" for scheme, _ in offered):
            if sent is not None:
                raise BadCredential("the store does not accept the user name or password")
            self._basic = dict(basic(self._username, self._password).fields)["authorization"]
        else:
            asked = ", ".join(sorted({scheme for scheme, _ in offered})) or "nothing that HTTP knows"
            raise BadCredential(f"the store asks for {asked} authentication; we know Basic and Digest")


class Digest:
    """One nonce of a server, and how often it was used."""

    def __init__(self, username: str, password: str, challenge: dict[str, str]) -> None:
        self._challenge = challenge
        self._username = username
        self._password = password
        self._algorithm = challenge.get("algorithm", "MD5")
        self._with_quality = "auth" in re.split(r"[\s,]+", challenge.get("qop", ""))
        self._used = 0

    def answer(self, method: str, target: str, cnonce: str | None = None) -> str:
        """The Authorization header; each call uses the nonce once more."""
        self._used += 1
        cnonce = cnonce or secrets.token_hex(16)
        nonce, realm = self._challenge["nonce"], self._challenge.get("realm", "")
        secret = self._hash(f"{self._username}:{realm}:{self._password}")
        if self._algorithm.lower().endswith("-sess"):
            secret = self._hash(f"{secret}:{nonce}:{cnonce}")
        act = self._hash(f"{method}:{target}")
        count = f"{self._used:08x}"
        quality = f"{count}:{cnonce}:auth:" if self._with_quality else ""
        fields = [
            f"username={_quoted(self._username)}",
            f"realm={_quoted(realm)}",
            f"nonce={_quoted(nonce)}",
            f"uri={_quoted(target)}",
            f'response="{self._hash(f"{secret}:{nonce}:{quality}{act}")}"',
            f"algorithm={self._algorithm}",
        ]
        if "opaque" in self._challenge:
            fields.append(f"opaque={_quoted(self._challenge['opaque'])}")
        if self._with_quality:
            fields += ["qop=auth", f"nc={count}", f'cnonce="{cnonce}"']
        return "Digest " + ", ".join(fields)

    def _hash(self, text: str) -> str:
        return hashlib.new(
            _HASHES[_family(self._algorithm)], text.encode(), usedforsecurity=False
        ).hexdigest()


def parse_challenges(text: str) -> list[tuple[str, dict[str, str]]]:
    """Scheme (lower case) and parameters of each challenge of WWW-Authenticate (RFC 9110, 11.6.1)."""
    # what is in quotes may look like a scheme: it is blanked for the search, in the same length
    blank = re.sub(r'"(?:[^"\\]|\\.)*"', lambda found: "_" * len(found[0]), text)
    starts = [found for found in _CHALLENGE.finditer(blank) if not _is_parameter(blank, found.end(1))]
    found = []
    for at, start in enumerate(starts):
        end = starts[at + 1].start() if at + 1 < len(starts) else len(text)
        parameters = {
            name.lower(): plain or re.sub(r"\\(.)", r"\1", quoted)
            for name, quoted, plain in _PARAMETER.findall(text[start.end(1) : end])
        }
        found.append((start[1].lower(), parameters))
    return found


def _is_parameter(text: str, at: int) -> bool:
    return text[at:].lstrip().startswith("=")


def _family(algorithm: str) -> str:
    return algorithm.upper().removesuffix("-SESS")


def _strongest(digests: list[dict[str, str]]) -> dict[str, str] | None:
    for family in _HASHES:
        for challenge in digests:
            if _family(challenge.get("algorithm", "MD5")) == family and "nonce" in challenge:
                return challenge
    return None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
