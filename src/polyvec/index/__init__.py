"""Token vectors <-> disk: the catalog, the codec, segments, the engine that finds candidates, and the one writer."""
