"""Properties as object tags: the one thing of an object that can change without another ETag.

(Metadata would need a copy of the object onto itself, and the copy of one that was uploaded in parts has
another ETag.) A tag holds letters, digits, spaces and `+-=._:/@`; every other character is written as its
UTF-8 bytes in `=XX`, and `=` itself so. A tag that others set is read in the same way. At most ten a file, of
128 characters and values of 256 (S3's user guide, "Categorizing your objects using tags").
"""

import re
from collections.abc import Mapping

from connectors.interface import InvalidName

_MOST, _LONGEST_KEY, _LONGEST_VALUE = 10, 128, 256
_PLAIN = frozenset("+-._:/@")
_ESCAPES = re.compile("(?:=[0-9A-F]{2})+")


def changed(tags: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The properties after the changes; None removes one."""
    after: dict[str, str | None] = {**from_tags(tags), **changes}
    return {name: value for name, value in after.items() if value is not None}


def from_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Properties, of tags as the store has them."""
    return {_read(name): _read(value) for name, value in tags.items()}


def to_tags(properties: Mapping[str, str]) -> dict[str, str]:
    """Tags. Raises InvalidName for more, or longer ones, than S3 holds."""
    tags = {_written(name): _written(value) for name, value in properties.items()}
    if len(tags) > _MOST:
        raise InvalidName(f"the store holds at most {_MOST} properties a file")
    for name, value in tags.items():
        if not name or name.lower().startswith("aws:"):
            raise InvalidName("the store can't hold a property of this name")
        if len(name) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            raise InvalidName(
                f"the store holds names of {_LONGEST_KEY} and values of {_LONGEST_VALUE} characters, "
                "signs counted three times"
            )
    return tags


def _written(text: str) -> str:
    inner = text.strip(" ")
    before, after = len(text) - len(text.lstrip(" ")), len(text) - len(text.rstrip(" ")) if inner else 0
    return "=20" * before + "".join(map(_sign, inner)) + "=20" * after  # stores may trim spaces


def _sign(sign: str) -> str:
    if sign == " " or sign in _PLAIN or (sign.isascii() and sign.isalnum()) or sign.isalpha():
        return sign
    return "".join(f"={byte:02X}" for byte in sign.encode("utf-8", "surrogatepass"))


def _read(text: str) -> str:
    def signs(found: re.Match[str]) -> str:
        try:
            return bytes.fromhex(found[0].replace("=", "")).decode()
        except UnicodeDecodeError:
            return found[0]

    return _ESCAPES.sub(signs, text)
