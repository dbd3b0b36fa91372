"""From configurations to registered models: one task's run, many side by side, and what a person sees of them."""
