"""What names of objects may be (https://cloud.google.com/storage/docs/objects#naming)."""

from connectors.objects import Naming

LONGEST = 1024
"""Bytes of UTF-8."""
NAMING = Naming(unfit=frozenset("\0\r\n"))
