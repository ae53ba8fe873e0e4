"""What s3-tests need to run against R2: see pytest.go."""

import signal

import pytest
import s3tests.functional


def list_versions(client, bucket, batch_size):
    """Yields all objects of a bucket that has no versions, in batches."""
    while True:
        listing = client.list_objects_v2(Bucket=bucket, MaxKeys=batch_size)
        objects = listing.get("Contents", [])
        if objects:
            yield [{"Key": o["Key"]} for o in objects]
        if not listing["IsTruncated"]:
            return


s3tests.functional.list_versions = list_versions


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Ends a test after a minute."""

    def late(*_):
        raise TimeoutError("the test has not ended within a minute")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
