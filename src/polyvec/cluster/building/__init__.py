"""Documents -> shards, by many machines: each step writes objects whose names and content follow from the documents alone."""
