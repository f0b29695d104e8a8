"""Measurements of pixelwise beside its peers; run one with `python -m benchmarks.<name>`."""
