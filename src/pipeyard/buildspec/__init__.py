"""CodeBuild's buildspec: read, decided phase by phase, carried out in one shell. Knows neither AWS nor a sandbox."""
