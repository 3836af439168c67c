"""Suites: which clips, prompts and seeds systems are compared on, declared in YAML, frozen as cases."""
