"""From a `Source` to batches: streams, readers, loaders, masks."""
