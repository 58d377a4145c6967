"""SFTP servers as stores."""

from connectors.sftp.connector import SftpConnector
from connectors.sftp.settings import SftpSettings

__all__ = ["SftpConnector", "SftpSettings"]
