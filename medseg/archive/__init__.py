"""Zip and tar archives: their files, listed and read with limits, and unpacked into a private folder."""
