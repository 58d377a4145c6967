"""Where clients come in: sockets that several processes share, how many may come, and how they are read."""
