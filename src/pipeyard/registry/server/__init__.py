"""The registry over HTTP: OCI distribution 1.1 as an ASGI application, and the server that sends files by sendfile."""
