"""Names of AWS resources: partitions by region, and the ARNs that the operations give out.

Source: AWS General Reference, "Amazon Resource Names"; botocore's partitions.json.
"""

import re

_PARTITIONS = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
)
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}")


def is_region(text: str) -> bool:
    return _REGION.fullmatch(text) is not None


def partition(region: str) -> str:
    return next((name for prefix, name, _ in _PARTITIONS if region.startswith(prefix)), "aws")


def dns_suffix(region: str) -> str:
    return next((suffix for prefix, _, suffix in _PARTITIONS if region.startswith(prefix)), "amazonaws.com")


def arn(service: str, region: str, account: str, resource: str, *, is_global: bool = False) -> str:
    """`is_global`: the service's ARNs name no region, but its partition still follows from it."""
    return f"arn:{partition(region)}:{service}:{'' if is_global else region}:{account}:{resource}"
