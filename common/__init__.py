"""What networks and modes share: it knows no network by name and no flag.

At the top stands what all packages need: architecture, recipe, errors, machine, distribution. The packages: input, nn,
training, runs, evaluation, report, weights, visualization.
"""
