"""What a pipeline's actions do: one module per provider, found by its action type id."""
