"""Steps: what is done, what it reads, and the key that follows from both. The ground floor."""
