"""What every result says of itself."""

RESEARCH_USE = "Research use only. Not for clinical use."
