"""Ways out of the worker that others name the end of: URLs to fetch, stores for the native proxy."""
