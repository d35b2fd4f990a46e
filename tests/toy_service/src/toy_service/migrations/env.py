"""Never run: the tests only ask which revisions there are."""
