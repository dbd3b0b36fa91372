"""Images in, training batches out: writing shards, the manifest, the order of samples, reading them back."""
