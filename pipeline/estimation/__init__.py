"""What a picture seems to have suffered, and whether a model was made for that: pure functions."""
