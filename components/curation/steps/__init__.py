"""The measurements, one concern a file, in the order that spends least.

A step measures and never decides: thresholds are `components.curation.decide`'s.
"""
