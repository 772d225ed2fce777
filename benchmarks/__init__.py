"""Benchmarks: `python -m benchmarks` measures the library against stated targets and prints one table of ratios."""
