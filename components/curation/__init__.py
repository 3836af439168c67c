"""From raw talking videos to an auditable, split, standardised set of clips.

Stages: `ingest` (what is there), `curate` (measure, decide, cut, standardise) and `annotate` (reference
frame, attributes, caption, actions).
"""
