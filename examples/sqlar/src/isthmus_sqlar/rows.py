"""A row of the table `sqlar`, and the entry that it is."""

import mimetypes
import stat
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.interface import Entry, Kind, NotFound
from connectors.interface.paths import split

SCHEMA = """
CREATE TABLE IF NOT EXISTS sqlar(
  name TEXT PRIMARY KEY,  -- path from the archive's root
  mode INT,               -- type and permissions, as stat(2) has them
  mtime INT,              -- seconds since 1970
  sz INT,                 -- bytes of the file; 0 for a folder, -1 for a symbolic link
  data BLOB               -- the bytes; deflated (zlib) when these are fewer than sz
)"""
COLUMNS = "rowid, name, mode, mtime, sz, CASE typeof(data) WHEN 'blob' THEN length(data) END"
FILE_MODE = stat.S_IFREG | 0o644
FOLDER_MODE = stat.S_IFDIR | 0o755


@dataclass(frozen=True, slots=True)
class Row:
    """What the archive says of one name.

    Attributes:
        version: the row's id. Each write takes a new one, so that it tells one version from another.
        stored: bytes of `data`; None where it is NULL, or a link's target.
    """

    version: int
    name: str
    mode: int | None
    mtime: int | None
    size: int
    stored: int | None

    @classmethod
    def implied(cls, name: str) -> "Row":
        """The folder of a name that only others begin with: archives need not have rows for folders."""
        return cls(0, name, FOLDER_MODE, None, 0, None)

    @property
    def is_implied(self) -> bool:
        """Whether there is no such row; SQLite's ids begin at 1."""
        return self.version == 0

    @property
    def kind(self) -> Kind | None:
        """What it is; None for what no entry is: a link, a device, a name that is no path (`../x`)."""
        form = stat.S_IFMT(self.mode or 0)
        try:
            split(self.name)
            self.name.encode()
        except (NotFound, UnicodeEncodeError):
            return None
        if form == stat.S_IFDIR:
            return Kind.FOLDER
        return Kind.FILE if form in (0, stat.S_IFREG) and self.size >= 0 else None

    @property
    def etag(self) -> str:
        """Changes with every write, by this connector and by SQLite's own tool."""
        return f"{self.version:x}-{self.size:x}-{self.mtime or 0:x}"

    def entry(self) -> Entry:
        """As the interface has it."""
        parent, _, name = self.name.rpartition("/")
        is_file = self.kind is Kind.FILE
        return Entry(
            raw_id=self.name,
            name=name,
            kind=Kind.FILE if is_file else Kind.FOLDER,
            parent=parent if self.name else None,
            size=self.size if is_file else None,
            modified=_moment(self.mtime),
            etag=self.etag if is_file else None,
            mime_type=mimetypes.guess_type(name)[0] if is_file else None,
        )


def _moment(mtime: int | None) -> datetime | None:
    try:
        return None if mtime is None else datetime.fromtimestamp(mtime, UTC)
    except (OverflowError, ValueError, OSError):
        return None  # a year that no calendar has
