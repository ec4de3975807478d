"""What `import medseg` gives: models and results in memory, and the commands as functions."""
