"""How good masks are, how sure one can be of it, and what breaks them."""
