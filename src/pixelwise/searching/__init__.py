"""Searching results for pictures by what is in them, and where."""
