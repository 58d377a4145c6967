"""What is counted by account and host, how it is told to others, and the access log."""
