"""Judging models: scores with their protocol, comparisons, reports."""
