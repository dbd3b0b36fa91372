"""Image files as bytes: one reader for restoring, packing and training, and what travels beside pixels."""
