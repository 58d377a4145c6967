"""Every SELECT and write, an area a module. A session comes in; rows, or None for the missing, go out."""
