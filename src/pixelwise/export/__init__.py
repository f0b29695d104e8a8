"""Out of torch: model files."""
