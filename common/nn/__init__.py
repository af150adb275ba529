"""What networks are made of: layers, normalisation, losses and metrics, cost, and rewriting of finished networks."""
