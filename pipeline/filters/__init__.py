"""Free filters that need no training: what a model must beat to be worth keeping. Pure functions of an image."""
