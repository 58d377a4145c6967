"""What keys of S3 may be (the user guide's page "Naming Amazon S3 objects")."""

from connectors.objects import Naming

LONGEST_KEY = 1024
"""Bytes of UTF-8."""
NAMING = Naming()
