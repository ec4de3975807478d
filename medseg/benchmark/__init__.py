"""How fast this machine is, and how near each part comes to that, beside the article's loops."""
