"""The native proxy: programs that speak a store's own API reach it without holding its credential.

ca            a certificate authority that clients trust, constrained to hosts or not; needs no mitmproxy
rotation      the authorities on disk: which signs, which is next; needs no mitmproxy
leaves        the certificates that clients are shown
grants        what one token may carry: pure decisions
access        who is there: accounts, tokens, limits on attempts
signatures    AWS Signature Version 4 of a request's head, checked
chunks        uploads whose chunks are signed one by one
payloads      what the body of a signed request goes through
injection     mitmproxy's hooks: refuse, or authorise and send on its way
layers        mitmproxy's layers, bounded, and never anything but HTTP
websockets    what passes behind a websocket's handshake
heads         what a message's head may be: pure decisions
http1, http2  the two versions of HTTP, with a client and with a store
stores        a client's connections to stores, and who is told to wait
doors         how many clients there may be, and for how long one may say nothing
certificates  TLS on both sides
passages      what goes through without interception; relay, its layers
listening     sockets that several processes share; given, how mitmproxy serves on them
metrics       what is counted; observed counts it, access_log writes it, reports tells it, exposition shows it
main          the process
"""
