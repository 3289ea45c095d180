"""Benchmarks: one script per question, each on servers of its own. `python -m ops.benchmarks --help`."""
