"""Noise schedules of the generator."""
