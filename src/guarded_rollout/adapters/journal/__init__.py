"""The journal in one SQLite file: `sqlite.SqliteJournal` writes it, `looking.open_readonly` looks.

Or in a PostgreSQL database: `postgres.PostgresJournal` and `postgres.open_readonly`. What both
share: the tables (`schema`), the words of what is refused (`refusals`), the checks (`audit`),
export and import (`transfer`).

Importing the package loads none: only the writer needs a system with file locks.
"""
