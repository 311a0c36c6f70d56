"""Where customers write is set up apart from where founders do, and the two are never one account."""

from pathlib import Path

import pytest

from swarm.app import App
from swarm.channels.bound import BoundChannel, is_for_customers
from swarm.core.errors import ConfigError
from swarm.settings import load, secret_values

OWN, SUPPORT = "710000001:AAown-own-own-own-own-own", "720000002:AAsup-sup-sup-sup-sup-sup"


def env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"SWARM_HOME": str(tmp_path), **{f"SWARM_{k.upper()}": v for k, v in more.items()}}


def test_without_a_binding_nothing_changes(tmp_path: Path) -> None:
    app = App(load(env(tmp_path, telegram__token=OWN)))
    assert app.channel_names == ("console", "telegram")
    with pytest.raises(
        ConfigError, match=r"telegram_customers is not set up: .*customers\.telegram"
    ):
        app.channel("telegram_customers")


def test_a_binding_is_a_channel_of_its_own_by_file_or_variable(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SUPPORT}\n", encoding="utf-8")
    (tmp_path / "company.yaml").write_text("customers:\n  per_hour: 7\n", encoding="utf-8")
    file = str(tmp_path / "token")
    found = load(env(tmp_path, telegram__token=OWN, customers__telegram__token_file=file))
    app = App(found)
    assert found.settings.customers.per_hour == 7
    assert app.channel_names == ("console", "telegram", "telegram_customers")
    channel = app.channel("telegram_customers")
    assert isinstance(channel, BoundChannel)
    assert is_for_customers(channel.name)
    assert not is_for_customers(app.channel("telegram").name)
    assert channel.capabilities.has_buttons
    assert ("customers.telegram.token", SUPPORT) in secret_values(found.settings, {})
    app.close()


def test_every_platform_can_be_bound(tmp_path: Path) -> None:
    given = {
        "customers__slack__bot_token": "xoxb-1",
        "customers__slack__app_token": "xapp-1",
        "customers__whatsapp__token": "t",
        "customers__whatsapp__phone_id": "12",
        "customers__whatsapp__app_secret": "s",
        "customers__whatsapp__verify_token": "v",
    }
    app = App(load(env(tmp_path, **given)))
    for name in ("slack_customers", "whatsapp_customers"):
        assert name in app.channel_names
        channel = app.channel(name)
        assert isinstance(channel, BoundChannel)
        assert channel.name == name
    app.close()


def test_it_may_be_switched_off(tmp_path: Path) -> None:
    app = App(load(env(tmp_path, customers__telegram__token=SUPPORT, customers__is_on="false")))
    assert app.channel_names == ("console",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"telegram__token": SUPPORT, "customers__telegram__token": SUPPORT}, "name one bot"),
        (
            {"telegram__token": f"{SUPPORT}x", "customers__telegram__token": SUPPORT},
            "name one bot",
        ),
        (
            {"customers__telegram__token": SUPPORT, "customers__telegram__founders": "1"},
            "nobody is more",
        ),
        (
            {"customers__telegram__token": SUPPORT, "customers__telegram__groups": "-5"},
            "in private",
        ),
        (
            {
                "slack__bot_token": "xoxb-1", "slack__app_token": "xapp-1",
                "customers__slack__bot_token": "xoxb-2", "customers__slack__app_token": "xapp-1",
            },
            "one app_token",
        ),
        (
            {"whatsapp__phone_id": "12", "customers__whatsapp__phone_id": "12"},
            "second number",
        ),
        ({"customers__burts": "3"}, "burst"),
    ],
)  # fmt: skip
def test_what_would_mix_customers_with_founders_is_refused(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(env(tmp_path, **settings))
    assert "xapp-1" not in str(caught.value)
    assert SUPPORT not in str(caught.value)
