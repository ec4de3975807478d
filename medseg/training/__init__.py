"""Ignite engines that train and validate a network, and what they measure."""
