"""Scores from arrays."""
