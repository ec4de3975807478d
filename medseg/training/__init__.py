"""Training and validation of a network with Ignite engines."""
