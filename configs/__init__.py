"""The recipes: one YAML file each, which commands take by path or, from an installed package, by name."""
