"""The receipt of a result: digests of everything that decided it."""
