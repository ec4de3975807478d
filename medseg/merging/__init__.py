"""The shards of a prediction, joined into what one run would have made."""
