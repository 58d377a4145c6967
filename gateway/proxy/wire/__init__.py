"""What is spoken with clients and with stores: mitmproxy's layers and TLS, as we need them.

layers        which is next, and HTTP with one client and its stores
exchange      one request and its answer
http1, http2  the two versions of HTTP, bounded; heads and bodies of them
stores        a client's connections to stores, and who is told to wait
websockets    what passes behind a websocket's handshake
certificates  TLS on both sides; records, in large pieces
hooks         what the layers ask the addons
"""
