"""The HTTP service: what a request may say and what it is answered, and the Ray Serve application that carries it."""
