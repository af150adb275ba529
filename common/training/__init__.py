"""The training loop and what it consists of: optimizers, schedules, validation, moving averages, logging."""
