"""What `check_data` looks at, and every command that reads a data set."""
