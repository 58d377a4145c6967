"""Properties of the callers' own as dead properties (RFC 4918, 4) in a namespace of ours.

A key is any text and an XML name is not: `p-` and the key's UTF-8, all but letters, digits, `-` and `.` as
`_` and two hexadecimal digits (`p-Gr_c3_bc_c3_9fe`). A value is the element's text, with `%`, control
characters and white space at either end percent-encoded, since neither XML nor every server keeps those.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from connectors.interface import InvalidName
from connectors.webdav.multistatus import Resource

NAMESPACE = "urn:isthmus:properties"
ALL = b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><allprop/></propfind>'
"""The body of a PROPFIND for every property, dead ones included (RFC 4918, 9.1)."""

_TAG = f"{{{NAMESPACE}}}p-"
_LONGEST_KEY = 255
_UNSAFE = re.compile(r"[%\x00-\x1f\x7f-\x9f\ufffe\uffff]|^\s|\s$")


def update(changes: Mapping[str, str | None]) -> bytes:
    """The body of a PROPPATCH (RFC 4918, 9.2). Raises InvalidName for a key or value that is no text."""
    acts = "".join(_act(key, value) for key, value in changes.items())
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<D:propertyupdate xmlns:D="DAV:" xmlns:I="{NAMESPACE}">{acts}</D:propertyupdate>'
    ).encode()


def kept(resource: Resource) -> dict[str, str]:
    """The callers' properties among all that the server named."""
    return dict(_found(resource))


def _act(key: str, value: str | None) -> str:
    name = "p-" + re.sub(rb"[^A-Za-z0-9.-]", lambda byte: b"_%02x" % byte[0][0], _utf8(key)).decode()
    if not key or len(name) > _LONGEST_KEY:
        raise InvalidName("a property's key has 1 to 253 characters; one that is no ASCII letter counts more")
    if value is None:
        return f"<D:remove><D:prop><I:{name}/></D:prop></D:remove>"
    _utf8(value)
    text = escape(_UNSAFE.sub(lambda found: _percent(found[0]), value))
    return f"<D:set><D:prop><I:{name}>{text}</I:{name}></D:prop></D:set>"


def _found(resource: Resource) -> Iterator[tuple[str, str]]:
    for tag, text in resource.others.items():
        if tag.startswith(_TAG):
            encoded = tag.removeprefix(_TAG).replace("_", "%")
            value = unquote_to_bytes(text).decode("utf-8", "replace")
            yield unquote_to_bytes(encoded).decode("utf-8", "replace"), value


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidName("a property's key and value are Unicode text") from None
