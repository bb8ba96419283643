"""From query vectors to the documents worth a full score."""
