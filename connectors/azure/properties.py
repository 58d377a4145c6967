"""Properties as index tags: the one thing of a blob that can change without another ETag.

(Set Blob Metadata gives the blob a new ETag: who reads or replaces one version of it would be refused.) A tag
holds ASCII letters, digits, spaces and `+-./:=_`; every other character is written as its UTF-8 bytes in
`=XX`, and `=` itself so; a bare `=` is the empty value, which Azurite does not take. A tag that others set is
read in the same way. At most ten a file, of 128 characters and values of 256 (Microsoft's page "Set Blob
Tags").
"""

import re
from collections.abc import Mapping

from connectors.interface import InvalidName

_MOST, _LONGEST_KEY, _LONGEST_VALUE = 10, 128, 256
_EMPTY = "="
_PLAIN = frozenset("+-._:/ ")
_ESCAPES = re.compile("(?:=[0-9A-F]{2})+")


def changed(tags: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The properties after the changes; None removes one."""
    after: dict[str, str | None] = {**from_tags(tags), **changes}
    return {name: value for name, value in after.items() if value is not None}


def from_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Properties, of tags as the store has them."""
    return {_read(name): "" if value == _EMPTY else _read(value) for name, value in tags.items()}


def to_tags(properties: Mapping[str, str]) -> dict[str, str]:
    """Tags. Raises InvalidName for more, or longer ones, than Azure holds."""
    try:
        tags = {_written(name): _written(value) or _EMPTY for name, value in properties.items()}
    except UnicodeEncodeError:  # half a surrogate pair
        raise InvalidName("the store can't hold these properties") from None
    if len(tags) > _MOST:
        raise InvalidName(f"the store holds at most {_MOST} properties a file")
    for name, value in tags.items():
        if not name:
            raise InvalidName("the store can't hold a property without a name")
        if len(name) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            raise InvalidName(
                f"the store holds names of {_LONGEST_KEY} and values of {_LONGEST_VALUE} characters, "
                "others than ASCII letters and digits counted three times a byte"
            )
    return tags


def _written(text: str) -> str:
    inner = text.strip(" ")
    before = len(text) - len(text.lstrip(" "))
    after = len(text) - len(text.rstrip(" ")) if inner else 0
    return "=20" * before + "".join(map(_sign, inner)) + "=20" * after  # XML readers may trim spaces


def _sign(sign: str) -> str:
    if sign in _PLAIN or (sign.isascii() and sign.isalnum()):
        return sign
    return "".join(f"={byte:02X}" for byte in sign.encode())


def _read(text: str) -> str:
    def signs(found: re.Match[str]) -> str:
        try:
            return bytes.fromhex(found[0].replace("=", "")).decode()
        except UnicodeDecodeError:
            return found[0]

    return _ESCAPES.sub(signs, text)
