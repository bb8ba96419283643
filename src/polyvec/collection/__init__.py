"""The index that a user holds: an encoder, a writer and a snapshot joined."""
