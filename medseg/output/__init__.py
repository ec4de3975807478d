"""The output of commands: folder, masks, overlays, reports."""
