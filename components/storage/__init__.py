"""How samples lie on disk (WebDataset shards), and how files come from and go to S3."""
