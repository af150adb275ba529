"""Further networks, one file a paper, of the same shape as the four at the root; train.py runs them."""
