"""Remotes: the places that files come from and go to, one module per family."""
