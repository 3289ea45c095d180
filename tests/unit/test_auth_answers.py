"""The language of an answer."""

import pytest

from auth_api import answers


@pytest.mark.parametrize(
    ("data", "header", "language"),
    [
        ({}, "", "en"),
        ({}, "ar", "ar"),
        ({}, "ar-AE,en;q=0.5", "ar"),
        ({}, "en;q=0.5, AR-sa", "ar"),
        ({}, "fr, ar;q=0.2", "ar"),
        ({}, "fr", "en"),
        ({}, "ar;q=0, en;q=0.1", "en"),
        ({}, "*", "en"),
        ({}, ";;;,,=", "en"),
        ({}, "ar" * 5000, "en"),
        ({"language": "en"}, "ar", "en"),
        ({"language": "ar"}, "en", "ar"),
        ({"language": "fr"}, "ar", "ar"),
        ({"language": ["ar"]}, "en", "en"),
        ([], "ar", "ar"),
        (None, "ar", "ar"),
    ],
)
def test_the_body_decides_then_accept_language_then_english(rf, data, header, language):
    assert answers.language_of(rf.get("/", HTTP_ACCEPT_LANGUAGE=header), data) == language
