"""What lies in the folder of a model, read without torch: JSON files, weights, who wrote it, under which license."""
