"""Synthetic people who speak, rendered with exact truth, and the faults that real footage has."""
