"""Getting images into TFRecords: one module per source, one command-line front, prepare.py."""
