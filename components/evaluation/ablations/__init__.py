"""The system without each of its parts, trained anew with several seeds, and what that changes."""
