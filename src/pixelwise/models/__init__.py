"""Architectures and their encoders."""
