"""SyncDreamer's library: rooms that run without an orchestrator, each usable on its own."""
