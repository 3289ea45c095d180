"""Starts and stops the embedded development stack: what `ops/demo` and `ops/test` are made of."""
