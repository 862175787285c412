"""The AWS endpoint: real AWS clients speak to this home as they would to ECR, STS, CodeBuild and CodePipeline.

    front         one port for the registry (/v2/) and the AWS services, as an ASGI application
    endpoint      one call: who is it, which operation, is the input right, the answer on the wire
    signatures    Signature Version 4, identities: whose key it is
    services      the services' descriptions (botocore's models), shapes: checking and shaping by them
    protocols     JSON 1.1, query and RPC v2 CBOR
    <service>     one function for an operation, found by its snake_case name

An operation is `def describe_repositories(parts, caller, request) -> answer`: `request` is a dictionary that the model
accepted, `answer` one that the model is asked to accept; times are integer UTC milliseconds, blobs are bytes.
"""
