"""Data set checks, used by `check_data` and by every command that reads a data set."""
