"""The journal in one SQLite file: `sqlite.SqliteJournal` writes it, `looking.open_readonly` looks.

Importing the package loads neither: only the writer needs a system with file locks.
"""
