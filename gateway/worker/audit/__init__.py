"""What the audit log has of each use of a credential, and of what was done with it."""
