"""Training data: readers and augmentation."""
