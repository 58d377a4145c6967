"""Windows and Samba file servers as stores: SMB 3.1.1."""

from connectors.smb.connector import SmbConnector
from connectors.smb.settings import SmbSettings

__all__ = ["SmbConnector", "SmbSettings"]
