"""
Planted bugs: each is put into a copy of the sources, and the suite must notice.

They judge the tests, not the code. ``python -m tests.mutants`` runs all, ``python -m tests.mutants WORD ...`` those whose
name or file holds one of the words. A file for each family, as in tests/strategies.
"""
