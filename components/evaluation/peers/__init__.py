"""Other systems, compared from outside: each a declaration, run in its own environment as a subprocess."""
