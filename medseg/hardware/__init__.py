"""What this machine is and what a command runs on: cores, memory, device, precision, compiled code."""
