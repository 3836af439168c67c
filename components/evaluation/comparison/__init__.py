"""Systems side by side on one suite: generated or given videos measured alike, tested in pairs, one page."""
