"""Pipeline definitions: the model, the readers of every format, expressions, validation."""
