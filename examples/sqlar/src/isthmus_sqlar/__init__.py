"""Files in an SQLite archive (https://sqlite.org/sqlar.html) as a store of Isthmus."""

from isthmus_sqlar.connector import SqlarConnector
from isthmus_sqlar.settings import SqlarSettings

__all__ = ["SqlarConnector", "SqlarSettings"]
