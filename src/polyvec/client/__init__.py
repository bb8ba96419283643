"""A polyvec server, used like an index: `Client` for programs that wait, `AsyncClient` for those with an event loop."""
