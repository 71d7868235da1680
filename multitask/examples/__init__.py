"""Raw rows to checked examples: ids, splits, bad rows."""
