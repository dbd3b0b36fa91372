"""One training run: the loop, its engine, its state, and how Ray launches it."""
