"""boto3's session: credentials, region, and the client for S3.

botocore, below it, looks through the folders of its 400 services for the one that is asked for, and
reads the files with Python's own JSON parser: half of the time that it takes to make the client.
"""

import functools
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from botocore.exceptions import BotoCoreError
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session

from backend.errors import ConfigurationError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

OPENERS: dict[str, Any] = {".json": open, ".json.gz": gzip.open}
# S3, and what botocore itself asks for credentials: STS for a role (with a web identity, as on EKS,
# or a profile's `role_arn`), the others for a login with `aws sso login` or `aws login`.
SERVICES = ["s3", "signin", "sso", "sso-oidc", "sts"]


def s3_client(**options: Any) -> "S3Client":
    """A client for S3; `options` are those of `boto3.Session.client`.

    Raises `ConfigurationError`, such as for a profile of AWS_PROFILE that does not exist.
    """
    try:
        return aws_session().client("s3", **options)
    except (BotoCoreError, ValueError) as error:  # ValueError: the endpoint is no URL
        raise ConfigurationError(
            f"No client for the bucket: {error}. Check AWS_* and S3_ENDPOINT_URL."
        ) from error


def aws_session() -> boto3.Session:
    """A session that reads the environment now; of its clients, ours are for S3."""
    session = Session()
    session.register_component("data_loader", service_descriptions())
    return boto3.Session(botocore_session=session)


class DescriptionFiles(JSONFileLoader):
    """botocore's JSON files, parsed in a third of the time."""

    def load_file(self, file_path: str) -> Any:
        """The content of the file with one of its suffixes; None if there is no file."""
        for suffix, opener in OPENERS.items():
            if (path := Path(f"{file_path}{suffix}")).is_file():
                with opener(path, "rb") as file:
                    return msgspec.json.decode(file.read())
        return None


class KnownServices(Loader):
    """Finds the description of a service without a look at the folders of all others."""

    def list_available_services(self, type_name: str) -> list[str]:
        """The services that botocore may make a client for."""
        return SERVICES


@functools.cache
def service_descriptions() -> Loader:
    """Each file is read once in a process."""
    return KnownServices(file_loader=DescriptionFiles())
