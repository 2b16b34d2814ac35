"""Execute recipe notebooks without a user."""
