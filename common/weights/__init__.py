"""Weights of other frameworks read, and finished networks exported."""
