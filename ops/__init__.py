"""Runs the project: two commands, the development stack behind them, and units for real machines."""
