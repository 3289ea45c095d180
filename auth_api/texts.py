"""Every sentence this API says, in English and Arabic."""

from typing import NamedTuple, Self

_SEPARATOR = "\x1f"  # ASCII's own "unit separator"; no sentence holds it


class Text(NamedTuple):
    """One sentence in both languages."""

    en: str
    ar: str

    def filled(self, **values: object) -> Self:
        """The sentence with its {placeholders} replaced."""
        return type(self)(self.en.format(**values), self.ar.format(**values))

    def said_in(self, language: str) -> str:
        """The sentence in this language; English unless it is Arabic."""
        return self.ar if language == "ar" else self.en

    def packed(self) -> str:
        """Both languages as one string: REST framework carries error messages as plain strings only."""
        return f"{self.en}{_SEPARATOR}{self.ar}"

    @classmethod
    def unpacked(cls, message: str) -> Self | None:
        """What `packed` made; None when the message is not one of ours."""
        en, separator, ar = message.partition(_SEPARATOR)
        return cls(en, ar) if separator else None


# --- What went well -----------------------------------------------------------------------------------------
REGISTERED = Text("A mail is being sent to {email}.", "يجري إرسال رسالة إلى {email}.")
LOGGED_IN = Text("You are logged in.", "تم تسجيل الدخول.")
LOGGED_OUT = Text("You are logged out.", "تم تسجيل الخروج.")
LOGGED_OUT_EVERYWHERE = Text("You are logged out on all devices.", "تم تسجيل الخروج من جميع الأجهزة.")
YOUR_ACCOUNT = Text("Your account.", "حسابك.")
ACCOUNT_CHANGED = Text("Your account has been updated.", "تم تحديث حسابك.")
CODE_SENT = Text(
    "A 6-digit code is being sent to {email}.",
    "يجري إرسال رمز مكوّن من 6 أرقام إلى {email}.",
)
CODE_RIGHT = Text("The code is right.", "الرمز صحيح.")
PASSWORD_RESET = Text(
    "Your password has been changed. Please log in again.",
    "تم تغيير كلمة المرور. يُرجى تسجيل الدخول من جديد.",
)
PASSWORD_CHANGED = Text(
    "Your password has been changed. Your other devices are logged out.",
    "تم تغيير كلمة المرور، وسُجّل الخروج من أجهزتك الأخرى.",
)

# --- What a whole request can fail with ---------------------------------------------------------------------
INVALID = Text("Please correct the errors below.", "يُرجى تصحيح الأخطاء أدناه.")
LOGIN_REFUSED = Text(
    "The email address or the password is wrong.",
    "عنوان البريد الإلكتروني أو كلمة المرور غير صحيحة.",
)
CODE_REFUSED = Text(
    "This code is wrong or no longer valid. You can ask for a new one.",
    "هذا الرمز غير صحيح أو لم يعد صالحًا. يمكنك طلب رمز جديد.",
)
MALFORMED = Text("The body is not valid JSON.", "محتوى الطلب ليس بصيغة JSON صحيحة.")
BAD_REQUEST = Text("The request cannot be understood.", "تعذّر فهم الطلب.")
NOT_AUTHENTICATED = Text("Please log in first.", "يُرجى تسجيل الدخول أولًا.")
AUTHENTICATION_FAILED = Text(
    "Your session is not valid or has ended. Please log in again.",
    "جلستك غير صالحة أو انتهت. يُرجى تسجيل الدخول من جديد.",
)
PERMISSION_DENIED = Text("You may not do this.", "ليس لديك إذن بهذا الإجراء.")
NOT_FOUND = Text("There is nothing here.", "لا يوجد شيء هنا.")
METHOD_NOT_ALLOWED = Text("This method is not allowed here.", "هذه الطريقة غير مسموح بها هنا.")
NOT_ACCEPTABLE = Text("Answers are JSON only.", "الردود متاحة بصيغة JSON فقط.")
UNSUPPORTED_MEDIA_TYPE = Text(
    "Please send JSON (Content-Type: application/json).",
    "يُرجى إرسال البيانات بصيغة JSON (Content-Type: application/json).",
)
TOO_LARGE = Text("The body is larger than 64 KiB.", "حجم محتوى الطلب يتجاوز 64 كيبيبايت.")
THROTTLED = Text(
    "Too many requests. Please wait a little and try again.",
    "طلبات كثيرة جدًا. يُرجى الانتظار قليلًا ثم المحاولة من جديد.",
)
SERVER_ERROR = Text(
    "Something went wrong on our side. Please try again later.",
    "حدث خطأ من جانبنا. يُرجى المحاولة لاحقًا.",
)
UNAVAILABLE = Text(
    "The service is not available at the moment. Please try again shortly.",
    "الخدمة غير متاحة حاليًا. يُرجى المحاولة بعد قليل.",
)

# --- What a field can fail with -----------------------------------------------------------------------------
FIELD_INVALID = Text("This value is not valid.", "هذه القيمة غير صالحة.")
NOT_AN_OBJECT = Text("A JSON object is expected.", "يجب أن يكون المحتوى كائن JSON.")
REQUIRED = Text("This field is required.", "هذا الحقل مطلوب.")
NULL = Text("This field may not be null.", "لا يمكن أن تكون قيمة هذا الحقل null.")
BLANK = Text("This field may not be empty.", "لا يمكن ترك هذا الحقل فارغًا.")
NOT_TEXT = Text("A string is expected.", "يجب أن تكون القيمة نصًا.")
UNKNOWN_FIELD = Text("There is no such field.", "لا يوجد حقل بهذا الاسم.")
TOO_LONG = Text("At most {max_length} characters.", "الحد الأقصى {max_length} حرفًا.")
NUL = Text("NUL characters are not allowed.", "لا يُسمح بالمحرف الصفري (NUL).")
SURROGATE = Text("Lone surrogates are not allowed.", "لا يُسمح بأنصاف محارف يونيكود (surrogates).")
NOT_A_CHOICE = Text("Choose one of: {choices}.", "اختر واحدة مما يلي: {choices}.")
CONTROL_CHARACTER = Text(
    "Line breaks, control characters and direction overrides are not allowed.",
    "لا يُسمح بفواصل الأسطر ولا بمحارف التحكم ولا بمحارف تغيير الاتجاه.",
)
LINK_IN_NAME = Text("A name may not hold a link.", "لا يُسمح بوجود رابط داخل الاسم.")
BAD_ADDRESS = Text("This is not an email address.", "هذا ليس عنوان بريد إلكتروني صحيحًا.")
ADDRESS_TOO_LONG = Text(
    "An email address has at most 254 characters, with at most 64 before the @-sign.",
    "لا يتجاوز عنوان البريد الإلكتروني 254 محرفًا، منها 64 على الأكثر قبل العلامة @.",
)
LOCAL_PART_NOT_ASCII = Text(
    "Before the @-sign, only unaccented Latin letters, digits and signs are supported.",
    "لا يُقبل قبل العلامة @ سوى الحروف اللاتينية غير المشكّلة والأرقام والرموز.",
)
LOOKALIKE_DOMAIN = Text(
    "The domain holds characters that only look like Latin letters or dots.",
    "يحتوي اسم النطاق على محارف تشبه الحروف اللاتينية أو النقاط وليست منها.",
)
BAD_CODE = Text("The code has six digits.", "يتكوّن الرمز من ستة أرقام.")
PASSWORDS_DIFFER = Text("The two passwords are not the same.", "كلمتا المرور غير متطابقتين.")
WRONG_PASSWORD = Text("This is not your current password.", "هذه ليست كلمة المرور الحالية.")
PASSWORD_TOO_SHORT = Text(
    "The password needs at least {min_length} characters.",
    "يجب ألا تقل كلمة المرور عن {min_length} محارف.",
)
PASSWORD_TOO_COMMON = Text("This password is too common.", "كلمة المرور هذه شائعة جدًا.")
PASSWORD_ENTIRELY_NUMERIC = Text(
    "The password may not consist of digits only.",
    "لا يمكن أن تتكوّن كلمة المرور من أرقام فقط.",
)
PASSWORD_TOO_SIMILAR = Text(
    "The password is too similar to your name or email address.",
    "كلمة المرور شبيهة جدًا باسمك أو بعنوان بريدك الإلكتروني.",
)
PASSWORD_REFUSED = Text("This password is not strong enough.", "كلمة المرور هذه ليست قوية بما يكفي.")
