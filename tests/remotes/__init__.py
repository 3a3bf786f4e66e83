"""Tests of remotes: one contract for all kinds, and what each kind has beside it."""
