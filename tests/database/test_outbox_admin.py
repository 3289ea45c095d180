"""The admin of the outbox: to look, and to resend and cancel through the same door as everything else."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from outbox.models import Intent, Provider
from outbox.states import State
from tests.database.admin_steps import answers
from tests.database.auth_steps import make_user
from tests.database.outbox_steps import MINUTE, SECOND, columns, provider, reread, states
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
LIST = "/admin/outbox/intent/"


def page(intent):
    return f"{LIST}{intent.pk}/change/"


def staff(*permissions, **fields):
    """A browser of somebody on the staff with these permissions."""
    user = make_user(f"staff{len(permissions)}@example.com", is_staff=True, **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.fixture
def admin():
    return staff(is_superuser=True)


def act(browser, action, *intents):
    """Choose the action for these mails, and say yes to the page that asks, if one does."""
    chosen = {"action": action, "_selected_action": [intent.pk for intent in intents]}
    answer = browser.post(LIST, chosen, follow=True)
    asks = b'name="confirmed"' in answer.content
    return browser.post(LIST, {**chosen, **answers(answer)}, follow=True) if asks else answer


def actions(browser):
    """What the list offers to do."""
    form = browser.get(LIST).context["action_form"]
    return [name for name, _ in form.fields["action"].choices] if form else []


def shown(answer):
    """The task ids that the list shows."""
    return {intent.task_id for intent in answer.context["cl"].result_list}


def messages(answer):
    return [str(message) for message in answer.context["messages"]]


# Looking


def test_the_list_shows_mails_without_whole_addresses(admin):
    make_intent(recipient="layla@example.com", reason="550 no such user", state=State.DEAD)
    answer = admin.get(LIST)

    assert answer.status_code == 200
    assert b"l***@example.com" in answer.content
    assert b"layla@example.com" not in answer.content
    assert b"550 no such user" in answer.content


def test_the_list_costs_the_same_for_one_mail_and_for_fifty(admin, django_assert_num_queries):
    provider()
    make_intent(State.SENT)
    admin.get(LIST)
    with django_assert_num_queries(4):  # session, user, count, rows
        admin.get(LIST)
    for _ in range(49):
        make_intent(State.SENT)

    with django_assert_num_queries(4):
        assert len(shown(admin.get(LIST))) == 50


@pytest.mark.parametrize("state", sorted(State))
def test_a_mail_has_a_page_with_its_attempts(admin, state):
    intent = make_intent(state, attempts=3, reason="the reason", context={"name": "Layla Haddad"})
    answer = admin.get(page(intent))

    assert answer.status_code == 200
    assert str(intent.task_id) in answer.content.decode()
    assert b"deferred" in answer.content
    assert b"the reason" in answer.content


def test_a_mail_that_does_not_exist_has_no_page(admin):
    assert admin.get(f"{LIST}0/change/").status_code == 302


@pytest.mark.parametrize(
    "term",
    [
        "layla@example.com",
        " Layla@EXAMPLE.com ",
        "{task_id}",
        "{hex}",
        "<{hex}@example.com>",
        "{hex}@example.com",
    ],
)
def test_a_mail_is_found_by_address_task_id_and_message_id(admin, term):
    wanted, _other = make_intent(recipient="layla@example.com"), make_intent(recipient="omar@example.com")
    answer = admin.get(LIST, {"q": term.format(task_id=wanted.task_id, hex=wanted.task_id.hex)})

    assert shown(answer) == {wanted.task_id}


@pytest.mark.parametrize("term", ["example.com", "layla@", "welcome", "' OR 1=1 --", "<x@y>", "z" * 5000, "ليلى"])
def test_what_is_no_address_and_no_id_finds_nothing(admin, term):
    make_intent(recipient="layla@example.com")
    answer = admin.get(LIST, {"q": term})

    assert answer.status_code == 200
    assert shown(answer) == set()


def test_a_mail_of_another_app_is_found_by_the_message_id_it_came_with(admin):
    wanted = make_intent(kind="message", message_id="<order-7@shop.example>")
    make_intent()

    assert shown(admin.get(LIST, {"q": "<order-7@shop.example>"})) == {wanted.task_id}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"state__exact": "dead"}, {"dead ar"}),
        ({"kind": "password_changed"}, {"changed en"}),
        ({"language": "ar"}, {"dead ar", "sent ar"}),
        ({"priority__exact": "0"}, {"sent ar"}),
        ({"state__exact": "sent", "language": "ar"}, {"sent ar"}),
    ],
    ids=str,
)
def test_the_list_can_be_filtered(admin, chosen, expected):
    made = {
        "dead ar": make_intent(State.DEAD, language="ar"),
        "sent ar": make_intent(State.SENT, language="ar", priority=0),
        "changed en": make_intent(kind="password_changed"),
    }
    found = shown(admin.get(LIST, chosen))

    assert {name for name, intent in made.items() if intent.task_id in found} == expected


def test_the_provider_is_there_to_look_at(admin):
    provider(opened_at=-SECOND, probe_at=MINUTE, reason="Connection refused")

    assert b"Connection refused" in admin.get("/admin/outbox/provider/").content
    assert admin.get("/admin/outbox/provider/default/change/").status_code == 200


# Nothing is written by hand


@pytest.mark.parametrize("name", ["add", "delete", "history"])
def test_rows_are_not_added_or_deleted_by_hand(admin, name):
    intent = make_intent(State.SENT)
    url = f"{LIST}add/" if name == "add" else f"{LIST}{intent.pk}/{name}/"

    for call in (admin.get, admin.post):
        assert call(url).status_code == (200 if name == "history" else 403)
    assert states() == ["sent"]


def test_rows_are_not_edited_by_hand(admin):
    intent = make_intent(State.SENT)
    before = columns(intent)

    assert admin.post(page(intent), {"state": "pending", "recipient": "other@example.com"}).status_code == 403
    assert columns(intent) == before


def test_there_is_no_action_that_deletes(admin):
    intent = make_intent(State.SENT)
    act(admin, "delete_selected", intent)

    assert Intent.objects.count() == 1
    assert set(actions(admin)) == {"", "resend", "replay", "cancel"}


# Acting


def test_resending_enqueues_a_linked_copy(admin):
    intent = make_intent(State.DEAD)
    answer = act(admin, "resend", intent)

    copy = Intent.objects.get(resent_from=intent)
    assert (copy.state, copy.actor, copy.reason) == ("pending", "staff0@example.com", "resent")
    assert copy.message_id != intent.message_id
    assert reread(intent).state == "dead"
    assert messages(answer) == ["1 resent."]
    assert LogEntry.objects.filter(object_id=str(intent.pk)).count() == 1


@pytest.mark.parametrize("state", [State.PENDING, State.CLAIMED])
def test_cancelling_cancels_what_is_not_under_way(admin, state):
    intent = make_intent(state)
    answer = act(admin, "cancel", intent)

    after = reread(intent)
    assert (after.state, after.actor, after.reason) == ("cancelled", "staff0@example.com", "cancelled by a person")
    assert messages(answer) == ["1 cancelled."]


def test_what_an_action_is_refused_for_is_told_and_stops_no_other(admin):
    open_, closed = make_intent(State.SENDING), make_intent(State.SENT)
    answer = act(admin, "resend", open_, closed)

    assert Intent.objects.filter(resent_from=closed).count() == 1
    assert not Intent.objects.filter(resent_from=open_).exists()
    assert messages(answer) == [
        "1 resent.",
        "1 not resent: only a closed mail can be resent; this one is still under way.",
    ]


@pytest.mark.parametrize("action", ["resend", "cancel"])
@pytest.mark.parametrize("state", [State.SENT, State.PENDING])
def test_looking_changes_nothing(admin, state, action):
    intent = make_intent(state)
    before = columns(intent)
    provider()
    before_provider = Provider.objects.values()[0]

    for url in (LIST, page(intent), f"{LIST}?action={action}&_selected_action={intent.pk}", "/admin/"):
        assert admin.get(url).status_code in {200, 302}
    assert columns(intent) == before
    assert Provider.objects.values()[0] == before_provider
    assert Intent.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_an_action_needs_the_token_of_its_own_page():
    intent = make_intent(State.SENT)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(make_user("root@example.com", is_staff=True, is_superuser=True))

    assert act(browser, "resend", intent).status_code == 403
    assert Intent.objects.count() == 1


# Who may


def test_strangers_and_customers_are_sent_to_the_login():
    intent = make_intent()
    customer = Client()
    customer.force_login(make_user())

    for browser in (Client(), customer):
        for url in (LIST, page(intent), "/admin/outbox/provider/"):
            answer = browser.get(url)
            assert answer.status_code == 302
            assert answer.headers["Location"].startswith(reverse("admin:login"))
        assert browser.post(LIST, {"action": "cancel", "_selected_action": [intent.pk]}).status_code == 302
    assert states() == ["pending"]


def test_staff_without_permission_sees_nothing():
    intent = make_intent()
    browser = staff()

    for url in (LIST, page(intent), "/admin/outbox/provider/"):
        assert browser.get(url).status_code == 403
    assert act(browser, "cancel", intent).status_code == 403


@pytest.mark.parametrize("action", ["resend", "cancel"])
@pytest.mark.parametrize("others", [(), ("replay_intent",)])
def test_who_may_only_look_may_not_act(action, others):
    made = [make_intent(State.SENT), make_intent()]
    browser = staff("view_intent", *others)

    assert browser.get(page(made[0])).status_code == 200
    act(browser, action, *made)
    assert states() == ["sent", "pending"]
    assert action not in actions(browser)


@pytest.mark.parametrize(
    ("action", "state", "after"),
    [("resend", State.SENT, ["sent", "pending"]), ("cancel", State.PENDING, ["cancelled"])],
)
def test_each_action_needs_its_own_permission_and_no_more(action, state, after):
    intent = make_intent(state)
    act(staff("view_intent", f"{action}_intent"), action, intent)

    assert states() == after
