"""A `docker` for builds on machines without Docker: a small client in the build, a thread beside it that answers."""
