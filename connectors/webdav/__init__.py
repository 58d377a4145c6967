"""WebDAV (RFC 4918) with Basic or Digest authentication, over TLS that ends at the store."""

from connectors.webdav.connector import WebdavConnector

__all__ = ["WebdavConnector"]
