"""Images at rest and on the wire: the content store, the registry that serves it, and the client of all others."""
