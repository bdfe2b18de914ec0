"""Create the bucket of compose.yaml, unless it is there."""

import os

import boto3

s3 = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT_URL"])
bucket = os.environ["S3_BUCKET"]
if bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}:
    s3.create_bucket(Bucket=bucket)
