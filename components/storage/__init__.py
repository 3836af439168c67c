"""How samples lie on disk: WebDataset shards with bytes that depend on content alone."""
