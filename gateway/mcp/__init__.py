"""The MCP server: connected accounts as tools and resources for AI agents.

It is a client of the gateway's public HTTP API and runs on any machine: nothing here knows the worker, the
database or a key. Enter by `main`; `settings` is what it is told.
"""
