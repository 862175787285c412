"""The history of the engine's tables, carried out by `engine.store.opening`."""
