"""The notice in every result."""

RESEARCH_USE = "Research use only. Not for clinical use."
