"""State, never content: tables, queries, migrations and sealed secrets."""
