"""Encoders: what turns a picture into a pyramid of feature maps."""
