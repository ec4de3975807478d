"""What a command leaves behind: its folder, masks, reports."""
