"""What the SDK suites run in: a sandbox, a broker in front of it, and recorders that see every byte between them."""
