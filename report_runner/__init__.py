"""Weekly reports from the marts: read in bulk, said in plain words, stored as artifacts."""
