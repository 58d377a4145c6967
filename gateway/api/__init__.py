"""The public HTTP API: who calls, what they may, and how it looks; the work is the worker's."""
