"""The load tester: what is asked, when, by whom, and what became of it. Its entry is scripts/load_test.py."""
