"""One script per question about speed: python -m ops.benchmarks.NAME."""
