import pytest

from dhash.errors import ConfigError
from dhash.settings import Settings


def read(**env):
    return Settings.from_environment({f"DHASH_{name}": value for name, value in env.items()})


def test_defaults():
    assert read().database_url == "sqlite+pysqlite:///dhash.db"
    assert read(DATABASE_URL="postgresql://u@h/db").database_url == "postgresql+psycopg://u@h/db"


@pytest.mark.parametrize(
    "env",
    [
        {"DATABASE_URL": "mysql://ann:hunter2@h/db"},
        {"DATABASE_URL": "dhash.db"},
        {"DATABASE_URL": "sqlite://"},
        {"LOG_LEVEL": "LOUD"},
        {"CONCURRENCY": "0"},
        {"PDF_CHILDREN": "two"},
    ],
)
def test_a_wrong_setting_is_one_line_without_secrets(env):
    with pytest.raises(ConfigError) as caught:
        read(**env)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
