"""HTTP in, one service call, HTTP out."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from knox.models import AuthToken
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from auth_api import answers, clients, errors, schema, serializers, services, texts, throttles
from auth_api.models import User
from auth_api.texts import Text


@method_decorator(never_cache, name="dispatch")
class AuthView(APIView):
    """What all endpoints share: language, throttle per client, shape of answers."""

    action: ClassVar[str] = ""  # what a client is throttled for
    language: str | None = None  # read by the exception handler too

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Count the request for its client before anything else is done for it."""
        self.language = answers.language_of(request)
        super().initial(request, *args, **kwargs)
        if self.action:
            throttles.check_client(self.action, self.client)

    @property
    def client(self) -> str:
        """The caller's IP address, or ""."""
        return clients.address_of(self.request)

    def get_authenticate_header(self, request: Request) -> str:
        """Login answers 401 too, and HTTP wants each 401 to say how to authenticate."""
        return "Token"

    def validated(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """The body's values, normalised."""
        data = self.request.data
        self.language = answers.language_of(self.request, data)
        checked = serializer(data=data, context={"user": self.request.user})
        checked.is_valid(raise_exception=True)
        return dict(checked.validated_data)

    def answer(self, text: Text, status: int = 200, **facts: object) -> Response:
        """A good answer, in the caller's language and in both."""
        return Response(answers.body("success", text, self.language or "en", **facts), status=status)


class PublicView(AuthView):
    """An endpoint for anybody; a stale token in the header is nobody's business here."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def admitted(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """The body's values, after counting them for their address."""
        values = self.validated(serializer)
        throttles.check_address(self.action, values["email"])
        return values


class PrivateView(AuthView):
    """An endpoint for people who are logged in."""

    permission_classes = (IsAuthenticated,)

    @property
    def account(self) -> User:
        """The caller."""
        return self.request.user  # type: ignore[return-value]  # IsAuthenticated has seen to it

    @property
    def session(self) -> AuthToken:
        """The token that the caller sent."""
        return self.request.auth


class Register(PublicView):
    """Create an account and send a welcome mail.

    The answer is the same when the address already has an account; its holder is told by mail.
    """

    action = "register"

    @schema.REGISTER
    def post(self, request: Request) -> Response:
        """See the class."""
        asked = self.admitted(serializers.RegisterRequest)
        person = services.NewPerson(
            email=asked["email"],
            name=asked["name"],
            language=asked.get("language") or answers.language_of(request),
            password=asked["password"],
        )
        task_id = services.register(person)
        return self.answer(texts.REGISTERED.filled(email=person.email), 201, task_id=task_id)


class Login(PublicView):
    """Exchange address and password for a token."""

    action = "login"

    @schema.LOG_IN
    def post(self, _: Request) -> Response:
        """See the class."""
        asked = self.admitted(serializers.LoginRequest)
        session = services.log_in(asked["email"], asked["password"])
        if session is None:
            raise errors.LoginRefused
        user = serializers.Account(session.user).data
        return self.answer(texts.LOGGED_IN, token=session.token, expiry=session.expiry, user=user)


class Logout(PrivateView):
    """End this session."""

    @schema.LOG_OUT
    def post(self, _: Request) -> Response:
        """See the class."""
        services.log_out(self.session)
        return self.answer(texts.LOGGED_OUT)


class LogoutAll(PrivateView):
    """End all sessions of the account, this one included."""

    @schema.LOG_OUT_EVERYWHERE
    def post(self, _: Request) -> Response:
        """See the class."""
        services.log_out_everywhere(self.account)
        return self.answer(texts.LOGGED_OUT_EVERYWHERE)


class Me(PrivateView):
    """The caller's account."""

    @schema.SHOW_ACCOUNT
    def get(self, _: Request) -> Response:
        """Show it."""
        return self.answer(texts.YOUR_ACCOUNT, user=serializers.Account(self.account).data)

    @schema.CHANGE_ACCOUNT
    def patch(self, _: Request) -> Response:
        """Change name or language: the language of future mails."""
        services.update_profile(self.account, self.validated(serializers.ProfileRequest))
        return self.answer(texts.ACCOUNT_CHANGED, user=serializers.Account(self.account).data)


class PasswordChange(PrivateView):
    """Set a new password; all other sessions end, and a mail says so."""

    action = "change"

    @schema.CHANGE_PASSWORD
    def post(self, _: Request) -> Response:
        """See the class."""
        asked = self.validated(serializers.ChangeRequest)
        throttles.check_address(self.action, self.account.email)
        task_id = services.change_password(
            self.account, asked["current_password"], asked["password"], client=self.client, keep=self.session
        )
        if task_id is None:
            raise errors.WrongPassword
        return self.answer(texts.PASSWORD_CHANGED, task_id=task_id)


class PasswordReset(PublicView):
    """Send a six-digit code to the address, if it has an account; the answer is the same if it has none."""

    action = "reset"

    @schema.REQUEST_CODE
    def post(self, _: Request) -> Response:
        """See the class."""
        address = self.admitted(serializers.ResetRequest)["email"]
        task_id = services.request_password_reset(address, self.language or "en")
        return self.answer(texts.CODE_SENT.filled(email=address), 202, task_id=task_id)


class PasswordResetVerify(PublicView):
    """Say whether a code is right, without using it up; five wrong ones end it."""

    action = "verify"

    @schema.VERIFY_CODE
    def post(self, _: Request) -> Response:
        """See the class."""
        asked = self.admitted(serializers.VerifyRequest)
        if not services.verify_code(asked["email"], asked["code"]):
            raise errors.CodeRefused
        return self.answer(texts.CODE_RIGHT)


class PasswordResetConfirm(PublicView):
    """Set a new password with a code; all sessions end, and a mail says so."""

    action = "confirm"

    @schema.RESET_PASSWORD
    def post(self, _: Request) -> Response:
        """See the class."""
        asked = self.admitted(serializers.ConfirmRequest)
        new = services.NewPassword(
            address=asked["email"], code=asked["code"], password=asked["password"], client=self.client
        )
        try:
            is_done = services.reset_password(new)
        except DjangoValidationError as error:
            raise serializers.weak_password(error) from error
        if not is_done:
            raise errors.CodeRefused
        return self.answer(texts.PASSWORD_RESET)
