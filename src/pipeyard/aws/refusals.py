"""What an AWS service answers instead of a result: a code that clients match on, and a sentence for people."""


class AwsError(Exception):
    """A refusal with the service's own exception name. `fields`: what else the modelled exception carries."""

    def __init__(self, code: str, message: str, *, status: int = 400, fields: dict[str, object] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields or {}
