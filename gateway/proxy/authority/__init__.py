"""The authority that clients trust: how it is made, how it rotates, and what it signs. Needs no mitmproxy."""
