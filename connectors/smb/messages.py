"""The requests that the connector makes, as the library's structures, and what their answers say.

Numbers of sections are those of [MS-SMB2], of [MS-FSCC] where it says so. Answers are read by hand: the
library copies a body several times, and takes 0.15 ms for an entry of a listing where this takes 0.014.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntFlag
from typing import Any

from smbprotocol.file_info import FileInformationClass as Class
from smbprotocol.file_info import InfoType
from smbprotocol.ioctl import IOCTLFlags, SMB2IOCTLRequest
from smbprotocol.open import (
    CloseFlags,
    CreateDisposition,
    CreateOptions,
    ImpersonationLevel,
    SMB2CloseRequest,
    SMB2CreateRequest,
    SMB2QueryDirectoryRequest,
    SMB2QueryInfoRequest,
    SMB2ReadRequest,
    SMB2SetInfoRequest,
    SMB2WriteRequest,
)

from connectors.interface import BadAnswer

RELATED = b"\xff" * 16
"""The handle of the message before, in a compound request (3.2.4.1.4)."""

RESUME_KEY = 0x00140078  # FSCTL_SRV_REQUEST_RESUME_KEY
COPY_CHUNK_WRITE = 0x001480F2  # FSCTL_SRV_COPYCHUNK_WRITE: the target need not be open for reading
PIPE_TRANSCEIVE = 0x0011C017  # FSCTL_PIPE_TRANSCEIVE

_HEADER = 64
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_FOLDER = 0x10
_REPARSE_POINT = 0x400
_LINKS = (0xA000000C, 0xA0000003)  # symbolic links and junctions: [MS-FSCC] 2.1.2.1


class Access(IntFlag):
    """What a handle is for (2.2.13.1)."""

    READ = 0x00000001
    WRITE = 0x00000002
    LOOK = 0x00000080
    DELETE = 0x00010000


class Sharing(IntFlag):
    """What others may do meanwhile (2.2.13)."""

    NOTHING = 0
    READ = 1
    WRITE = 2
    DELETE = 4
    ALL = READ | WRITE | DELETE


OPEN = CreateDisposition.FILE_OPEN
CREATE = CreateDisposition.FILE_CREATE
FOLDER = CreateOptions.FILE_DIRECTORY_FILE
FILE = CreateOptions.FILE_NON_DIRECTORY_FILE
ITSELF = CreateOptions.FILE_OPEN_REPARSE_POINT
"""A link itself, not where it leads."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server says of a file or folder; times as it counts them, 100 ns since 1601."""

    attributes: int
    size: int
    created: int
    written: int
    changed: int
    index: int = 0
    name: str = ""
    tag: int = 0

    @property
    def is_folder(self) -> bool:
        """A folder, or a link to one."""
        return bool(self.attributes & _FOLDER)

    @property
    def is_link(self) -> bool:
        """A link whose target the client would have to find, known in listings only."""
        return bool(self.attributes & _REPARSE_POINT) and self.tag in _LINKS

    @property
    def etag(self) -> str:
        """Another one whenever the bytes are: the change time moves at once, the write time may wait."""
        return f"{self.index:x}-{self.size:x}-{self.written:x}-{self.changed:x}"

    def same_bytes(self, other: "Facts") -> bool:
        """Whether nothing was written between the two."""
        mine, others = (self.size, self.written, self.changed), (other.size, other.written, other.changed)
        return mine == others


def folder(name: str) -> Facts:
    """A folder of which no more is known than its name: a share."""
    return Facts(_FOLDER, 0, 0, 0, 0, name=name)


def moment(count: int) -> datetime | None:
    """A time of the server's; None where it says none."""
    if not 0 < count < 0x24C85A5ED1C04000:  # the year 9999
        return None
    return _EPOCH + timedelta(microseconds=count // 10)


# requests


def create(path: str, access: int, sharing: int, disposition: int = OPEN, options: int = 0) -> Any:
    """Opens or makes a file or folder (2.2.13). The root of the share is the empty path."""
    request = SMB2CreateRequest()
    request["impersonation_level"] = ImpersonationLevel.Impersonation
    request["desired_access"] = int(access)
    request["share_access"] = int(sharing)
    request["create_disposition"] = disposition
    request["create_options"] = options
    request["buffer_path"] = path.encode("utf-16-le") or b"\0\0"  # the library's sign for no name
    return request


def close(handle: bytes = RELATED, *, facts: bool = False) -> Any:
    """Closes a handle (2.2.15); with `facts` its answer says what the file is then."""
    request = SMB2CloseRequest()
    request["file_id"] = handle
    if facts:
        request["flags"] = CloseFlags.SMB2_CLOSE_FLAG_POSTQUERY_ATTRIB
    return request


def index(handle: bytes = RELATED) -> Any:
    """Asks for the number that the file keeps under every name: [MS-FSCC] 2.4.22."""
    return _query(handle, InfoType.SMB2_0_INFO_FILE, Class.FILE_INTERNAL_INFORMATION, 8)


def true_path(handle: bytes = RELATED) -> Any:
    """Asks for the path in the case that its names were given: [MS-FSCC] 2.4.30."""
    return _query(handle, InfoType.SMB2_0_INFO_FILE, Class.FILE_NORMALIZED_NAME_INFORMATION, 65536)


def room(handle: bytes = RELATED) -> Any:
    """Asks for the sizes of the file system: [MS-FSCC] 2.5.4."""
    return _query(handle, InfoType.SMB2_0_INFO_FILESYSTEM, 7, 32)


def deleting(pending: bool, handle: bytes = RELATED) -> Any:
    """Has the file removed, or not, when its handle is closed, or lost: [MS-FSCC] 2.4.11."""
    return _set(handle, Class.FILE_DISPOSITION_INFORMATION, bytes([pending]))


def resizing(size: int, handle: bytes = RELATED) -> Any:
    """Cuts the file, or fills it up with zeros: [MS-FSCC] 2.4.13."""
    return _set(handle, Class.FILE_END_OF_FILE_INFORMATION, struct.pack("<Q", size))


def renaming(path: str, *, replace: bool, handle: bytes = RELATED) -> Any:
    """Gives the entry another path in the same share, in one step: [MS-FSCC] 2.4.37.2."""
    name = path.encode("utf-16-le")
    head = struct.pack("<B7xQI", replace, 0, len(name))
    return _set(handle, Class.FILE_RENAME_INFORMATION, head + name)


def listing(handle: bytes, size: int) -> Any:
    """Asks for the next entries of a folder (2.2.33), with their numbers: [MS-FSCC] 2.4.17."""
    request = SMB2QueryDirectoryRequest()
    request["file_information_class"] = Class.FILE_ID_BOTH_DIRECTORY_INFORMATION
    request["file_id"] = handle
    request["output_buffer_length"] = size
    request["buffer"] = "*".encode("utf-16-le")
    return request


def read(handle: bytes, offset: int, size: int) -> Any:
    """Asks for bytes (2.2.19)."""
    request = SMB2ReadRequest()
    request["padding"] = b"\x50"
    request["file_id"] = handle
    request["offset"] = offset
    request["length"] = size
    return request


def write(handle: bytes, offset: int, piece: bytes) -> Any:
    """Stores bytes (2.2.21)."""
    request = SMB2WriteRequest()
    request["file_id"] = handle
    request["offset"] = offset
    request["length"] = len(piece)
    request["buffer"] = piece
    return request


def control(handle: bytes, code: int, given: bytes, size: int) -> Any:
    """A control code of the server's (2.2.31), with at most `size` bytes of answer."""
    request = SMB2IOCTLRequest()
    request["ctl_code"] = code
    request["file_id"] = handle
    request["buffer"] = given
    request["max_output_response"] = size
    request["flags"] = IOCTLFlags.SMB2_0_IOCTL_IS_FSCTL
    return request


def copying(handle: bytes, source: bytes, ranges: list[tuple[int, int]]) -> Any:
    """Has the server copy ranges, each an offset and a size, from the file with this key (2.2.31.1)."""
    chunks = b"".join(struct.pack("<QQII", offset, offset, size, 0) for offset, size in ranges)
    return control(handle, COPY_CHUNK_WRITE, source + struct.pack("<II", len(ranges), 0) + chunks, 12)


def _query(handle: bytes, kind: int, what: int, size: int) -> Any:
    request = SMB2QueryInfoRequest()
    request["info_type"] = kind
    request["file_info_class"] = what
    request["output_buffer_length"] = size
    request["file_id"] = handle
    return request


def _set(handle: bytes, what: int, value: bytes) -> Any:
    request = SMB2SetInfoRequest()
    request["info_type"] = InfoType.SMB2_0_INFO_FILE
    request["file_info_class"] = what
    request["file_id"] = handle
    request["buffer"] = value
    return request


# answers


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (struct.error, UnicodeDecodeError) as error:
        raise BadAnswer("the store's answer is cut short") from error


def created(body: bytes) -> tuple[bytes, Facts]:
    """The new handle and what it is open on (2.2.14)."""
    with _reading():
        made, _, written, changed, _, size, attributes, handle = struct.unpack_from("<8xQQQQQQI4x16s", body)
    return handle, Facts(attributes, size, made, written, changed)


def closed(body: bytes) -> Facts:
    """What the file was at its close, when that was asked for (2.2.16)."""
    with _reading():
        made, _, written, changed, _, size, attributes = struct.unpack_from("<8xQQQQQQI", body)
    return Facts(attributes, size, made, written, changed)


def told(body: bytes) -> memoryview:
    """What a query asked for (2.2.34, 2.2.38)."""
    with _reading():
        offset, size = struct.unpack_from("<2xHI", body)
    return _part(body, offset, size)


def index_told(body: bytes) -> int:
    """The file's number."""
    with _reading():
        return int(struct.unpack_from("<Q", told(body))[0])


def path_told(body: bytes) -> str:
    """The path, without a separator in front."""
    value = told(body)
    with _reading():
        size = struct.unpack_from("<I", value)[0]
        return bytes(value[4 : 4 + size]).decode("utf-16-le").lstrip("\\")


def room_told(body: bytes) -> tuple[int, int, int]:
    """Bytes of the file system: all, free for this user, free."""
    with _reading():
        total, mine, free, sectors, size = struct.unpack_from("<QQQII", told(body))
    unit = sectors * size
    return total * unit, mine * unit, free * unit


def got(body: bytes) -> memoryview:
    """The bytes that were read (2.2.20)."""
    with _reading():
        offset, size = struct.unpack_from("<2xBxI", body)
    return _part(body, offset, size)


def stored(body: bytes) -> int:
    """How many bytes were written (2.2.22)."""
    with _reading():
        return int(struct.unpack_from("<4xI", body)[0])


def controlled(body: bytes) -> memoryview:
    """What a control code gave (2.2.32)."""
    with _reading():
        offset, size = struct.unpack_from("<32xII", body)
    return _part(body, offset, size)


def listed(body: bytes) -> Iterator[Facts]:
    """The entries of one answer. A name that is no text can't be told to anyone, and is left out."""
    value = told(body)
    at = 0
    while len(value):
        with _reading():
            step, made, written, changed, size, attributes, length, tag, number = struct.unpack_from(
                "<I4xQ8xQQQ8xIII28xQ", value, at
            )
        raw = bytes(value[at + 104 : at + 104 + length])
        with suppress(UnicodeDecodeError):
            yield Facts(attributes, size, made, written, changed, number, raw.decode("utf-16-le"), tag)
        if not step:
            return
        at += step


def _part(body: bytes, offset: int, size: int) -> memoryview:
    """A part of the body; offsets count from the header's begin."""
    if size == 0:
        return memoryview(b"")
    if offset < _HEADER or offset - _HEADER + size > len(body):
        raise BadAnswer("the store's answer is cut short")
    return memoryview(body)[offset - _HEADER : offset - _HEADER + size]
