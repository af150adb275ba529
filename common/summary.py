"""Per-layer table (first form)."""
