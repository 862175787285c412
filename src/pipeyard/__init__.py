"""AWS CodePipeline V2, anywhere: from a commit to a published container image."""

__version__ = "0.1.0"
