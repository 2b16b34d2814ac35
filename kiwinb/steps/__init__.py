"""Steps: actions, their inputs, and the keys that follow from both. The ground floor."""
