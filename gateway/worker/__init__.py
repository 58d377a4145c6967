"""The worker: holds the private key, opens stores, streams content, keeps the tunnels' hub."""
