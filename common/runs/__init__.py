"""The run directory: config.json, checkpoints, locks."""
