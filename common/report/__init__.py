"""HTML pages of one run, or of several compared: each file is complete in itself."""
