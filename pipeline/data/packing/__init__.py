"""Writing datasets: which images there are, encoding them, shards, and last the manifest. Readers need none of it."""
