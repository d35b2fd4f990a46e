"""`[notify]` and `[environments.<name>.notify]`."""

import pytest

from guarded_rollout.core.notice import ChannelKind, GithubIssues, Severity
from guarded_rollout.core.problems import BadInput
from guarded_rollout.notify.settings import chosen, load_policy

SECTION = """
[notify]
channels = ["slack", "alerts"]
deadline = "30s"
mention = { alerts = ["here"] }

[notify.channel.alerts]
kind = "slack"
variable = "SLACK_ALERTS_WEBHOOK_URL"
at_least = "warning"

[notify.channel.ops-mail]
kind = "email"
to = ["ops@example.com"]

[environments.production.notify]
channels = ["slack", "alerts", "ops-mail"]
mention = { alerts = ["S012ABCDEF"], discord = ["role:12345"] }
"""


def write(folder, section):
    text = (folder.path / "rollout.toml").read_text()
    folder.write("rollout.toml", f"{text}\n{section}")


def names(channels):
    return [channel.name for channel in channels]


def test_an_environment_has_its_channels_and_its_people(folder):
    """What it does not say, `[notify]` says."""
    write(folder, SECTION)
    production, staging = (load_policy(folder.path, name) for name in ("production", "staging"))
    assert names(chosen(production, None, {})) == ["slack", "alerts", "ops-mail"]
    assert names(chosen(staging, None, {})) == ["slack", "alerts"]
    alerts = production.known["alerts"]
    assert (alerts.kind, alerts.at_least) == (ChannelKind.SLACK, Severity.WARNING)
    assert (alerts.variable, alerts.mention) == ("SLACK_ALERTS_WEBHOOK_URL", ("S012ABCDEF",))
    assert staging.known["alerts"].mention == ("here",)
    assert production.known["ops-mail"].to == ("ops@example.com",)
    assert production.deadline == 30.0
    folder.load()


def test_without_a_section_the_variables_decide(folder):
    """The console always; a file that cannot be read counts, so that somebody is told."""
    policy = load_policy(folder.path, "production")
    assert names(chosen(policy, None, {})) == ["console"]
    environ = {"SLACK_WEBHOOK": "x", "TEAMS_WEBHOOK_URL_FILE": "/nowhere", "DISCORD_WEBHOOK": ""}
    assert names(chosen(policy, None, environ)) == ["console", "slack", "teams"]
    assert names(chosen(policy, ["file", "file"], environ)) == ["file"]


def test_what_is_no_channel_or_no_environment_is_told(folder):
    """With what is probably meant."""
    policy = load_policy(folder.path, "production")
    with pytest.raises(BadInput, match=r"no channel 'slck'(?s:.)*did you mean slack"):
        chosen(policy, ["slck"], {})
    with pytest.raises(BadInput, match=r"no environment 'prod'(?s:.)*did you mean production"):
        load_policy(folder.path, "prod")


def test_only_its_own_sections_are_read(folder):
    """A broken service section must not keep a failure secret."""
    folder.edit('listen = "127.0.0.1:18080"', "listen = 7")
    assert load_policy(folder.path, "production").channels is None


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("[notify]\nchanels = []", ("notify.chanels: this key is not known", "channels")),
        ('[notify]\nchannels = ["slak"]', ("notify.channels[0]", "'slak'", "did you mean slack")),
        ('[notify]\ndeadline = "2h"', ("notify.deadline", '"1s" to "15m"')),
        ("[notify.channel.alerts]", ("notify.channel.alerts.kind: is missing", "slack, teams")),
        ('[notify.channel.A]\nkind = "slack"', ("notify.channel.A", "small letters")),
        ('[notify.channel.a]\nkind = "sms"', ("notify.channel.a.kind", "'sms' is not allowed")),
        ('[notify.channel.slack]\nto = ["a@b.c"]', ("slack.to", "belongs to a channel of kind")),
        ('[notify.channel.email]\nto = ["a b"]', ("email.to[0]", "is no e-mail address")),
        (
            '[notify.channel.slack]\nvariable = "https://hooks.slack.com/services/T/B/SECRET"',
            ("slack.variable", "stays in the environment"),
        ),
        ("[notify]\nmention = { slak = [] }", ("notify.mention.slak", "did you mean slack")),
        ('[notify]\nmention = { email = ["x"] }', ("cannot mention anybody",)),
        ('[notify]\nmention = { slack = ["@ann"] }', ("mention.slack[0]", '"U012ABCDEF"')),
        ('[notify]\nmention = { discord = ["ann"] }', ("mention.discord[0]", '"role:NUMBER"')),
        ('[notify]\nmention = { teams = ["ann"] }', ("mention.teams[0]", "alice@example.com")),
        ('[notify]\ntemplates = "/x"', ("notify.templates", "must stay below")),
        ("[environments.staging.notify]\ndeadline = 7", ("staging.notify.deadline", "not known")),
    ],
)
def test_a_mistake_is_told_with_line_and_key(folder, section, words):
    """By every command that reads the file; never with a secret."""
    write(folder, section)
    said = folder.problem()
    assert said.startswith("rollout.toml:")
    for word in words:
        assert word in said, said
    assert "SECRET" not in said


GITHUB = """
[notify.github]
repository = "acme/shop"
labels = ["incident"]
api = "https://github.example.com/api/v3/"
"""


def test_incidents_have_a_repository(folder):
    """For every environment; the public GitHub where no other address is said."""
    assert load_policy(folder.path, "production").github is None
    write(folder, GITHUB)
    assert load_policy(folder.path, "production").github == GithubIssues(
        "acme/shop", ("incident",), "https://github.example.com/api/v3"
    )


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("acme/shop", "shop", 'write "owner/name"'),
        ("acme/shop", "../..", 'write "owner/name"'),
        ("https://github.example.com", "http://github.example.com", "is no address of an API"),
        ("https://", "https://ann:pw@", "is no address of an API"),
        ("labels", "label", "label"),
        ('["incident"]', '[""]', "label"),
    ],
)
def test_what_is_wrong_with_the_repository_is_named(folder, was, now, said):
    """By file, line and key."""
    write(folder, GITHUB.replace(was, now))
    with pytest.raises(BadInput, match=r"rollout\.toml:") as raised:
        load_policy(folder.path, "production")
    assert said in str(raised.value.why)


def test_who_is_paged_hears_no_good_news(folder):
    """Where nothing else is said, for a pager of another name too."""
    assert load_policy(folder.path, "staging").known["pagerduty"].at_least is Severity.WARNING
    write(folder, '[notify.channel.night]\nkind = "pagerduty"\n')
    known = load_policy(folder.path, "staging").known
    assert known["night"].at_least is Severity.WARNING
    assert known["slack"].at_least is Severity.INFO
