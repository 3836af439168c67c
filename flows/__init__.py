"""Orchestration: decides when, never how. The only place that imports Prefect."""
