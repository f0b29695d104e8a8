"""Segmentations made better after the network."""
