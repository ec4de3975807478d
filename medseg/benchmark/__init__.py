"""Benchmark: the speed of this machine, and of medseg and the article's loops on it."""
