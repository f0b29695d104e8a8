"""Making the models that ship."""
