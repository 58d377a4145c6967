"""The native proxy: programs that speak a store's own API reach it without holding its credential.

main       the process, as a list of its parts
injection  mitmproxy's hooks: a request is refused, or authorised and sent on its way
messages   heads, as they are asked about, sent on and shown; refusing, the answer in a store's place
observed   every request from its head to its end: counted, and written down
access     who is there: accounts, tokens, limits on attempts
grants     what one token may carry: pure decisions
authority  the certificate authority that clients trust
signing    requests and bodies that are signed by S3's programs, checked
passing    what goes through without interception
entrance   sockets and connections
wire       HTTP, websockets and TLS on both sides, bounded
counting   what is counted by account and host, how it is told; the access log's lines
"""
