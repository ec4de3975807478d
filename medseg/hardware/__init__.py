"""The hardware that a command runs on: cores, memory, device, precision, compiled code."""
