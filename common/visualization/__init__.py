"""Pictures of what a network has learnt: arrays from a Keras model and its inputs, and sheets drawn of them."""
