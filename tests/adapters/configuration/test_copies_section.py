"""`[[environments.<name>.copies]]`: where backups are copied to."""

import pytest

from guarded_rollout.core.spec import CopyPlace

STAGING = "[environments.staging]"


def add(folder, *tables: str) -> None:
    text = "".join(f"[[environments.production.copies]]\n{table}\n" for table in tables)
    folder.edit(STAGING, text + STAGING)


def test_places_are_read_with_their_defaults(folder):
    """The environment's retention, not required, AWS."""
    add(
        folder,
        'to = "folder:/mnt/./backup//toy/"',
        'to = "s3://toy-backups/production/"\nrequired = true\nretention_days = 90',
        'to = "s3://toy-backups"\nendpoint = "http://127.0.0.1:9000/"',
    )
    folder.write(
        "rollout.toml",
        (folder.path / "rollout.toml")
        .read_text()
        .replace('production/toy.db"', 'production/toy.db"\nretention_days = 14'),
    )
    assert folder.load().environment.copies == (
        CopyPlace("folder:/mnt/backup/toy", retention_days=14),
        CopyPlace("s3://toy-backups/production", required=True, retention_days=90),
        CopyPlace("s3://toy-backups", "http://127.0.0.1:9000", retention_days=14),
    )
    assert folder.load("staging").environment.copies == ()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("required = true", ("rollout.toml:20: environments.production.copies[0].to: is missing",)),
        ('to = "folder:/a"\ntoo = 1', (":22: environments.production.copies[0].too: this key",)),
        ('to = "/mnt/backup"', (":21: environments.production.copies[0].to:", "s3://BUCKET")),
        ('to = "folder:backups"', ("absolute path", "another disk")),
        ('to = "folder:/a/../b"', ("absolute path",)),
        ('to = "folder:/"', ("absolute path",)),
        ('to = "s3://Bad_Bucket"', ("no bucket's name",)),
        ('to = "s3://key:secret@bucket/x"', ("no bucket's name", "AWS_SECRET_ACCESS_KEY")),
        ('to = "s3://bucket/a//b"', ("cannot be a prefix",)),
        ('to = "s3://bucket/../b"', ("cannot be a prefix",)),
        ('to = "folder:/a"\nendpoint = "https://h"', ("endpoint: belongs to an s3:// place",)),
        ('to = "s3://bucket"\nendpoint = "http://10.0.0.1"', (":22:", "unencrypted", "https://")),
        ('to = "s3://bucket"\nendpoint = "https://u:hunter2@h"', ("user or a password",)),
        ('to = "s3://bucket"\nendpoint = "h:9000"', ("no server's URL",)),
        ('to = "s3://bucket"\nendpoint = "https://h/x"', ("no server's URL",)),
        ('to = "s3://bucket"\nendpoint = "https://h:port"', ("no URL",)),
        ('to = "s3://bucket"\nrequired = "yes"', ("must be true or false",)),
        ('to = "s3://bucket"\nretention_days = 0', ("0 makes no sense",)),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(folder, refused, table, said):
    """And no secret is repeated."""
    add(folder, table)
    refused(*said)
    assert "hunter2" not in folder.problem()


def test_a_place_is_named_once(folder, refused):
    """A second copy at the same place is none."""
    add(folder, 'to = "folder:/a"', 'to = "folder:/a/"')
    refused(":22: environments.production.copies[1]: 'folder:/a' is named twice")
