"""What networks and modes share: it knows no network by name and no flag.

At the top stands what all of it needs: architecture, recipe, errors, machine, distribution. Below, a package a subject:
input, nn, training, runs, evaluation, weights.
"""
