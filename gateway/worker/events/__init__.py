"""Events of accounts: what the gateway changes is told at once, what others change is found by crawls."""
