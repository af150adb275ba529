"""From a command line to a mode: flags, the registry of networks, setup, and one file a mode."""
