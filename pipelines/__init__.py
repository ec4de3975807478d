"""One thin runnable module a job; `main` reads as the data flow."""
