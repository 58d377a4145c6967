"""FTP servers as stores, plain or over TLS."""

from connectors.ftp.connector import FtpConnector
from connectors.ftp.settings import FtpSettings

__all__ = ["FtpConnector", "FtpSettings"]
