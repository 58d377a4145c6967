"""The gateway: public API, workers, tunnel hub, command line."""
