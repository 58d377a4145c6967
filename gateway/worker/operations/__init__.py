"""What the api can ask for: one handler an operation, each given the desk and its arguments."""
