"""The `isthmus` command: a command is parse, call, print."""
