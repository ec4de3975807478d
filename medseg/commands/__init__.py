"""One page a command: its sections and a main that reads as the data flow."""
