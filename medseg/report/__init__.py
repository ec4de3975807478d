"""HTML pages and terminal texts of an evaluation and of a data check."""
