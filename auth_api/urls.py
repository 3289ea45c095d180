"""The endpoints under /api/auth/."""

from django.urls import path

from auth_api import views

urlpatterns = [
    path("register/", views.Register.as_view(), name="register"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", views.Logout.as_view(), name="logout"),
    path("logout/all/", views.LogoutAll.as_view(), name="logout-all"),
    path("me/", views.Me.as_view(), name="me"),
    path("password/change/", views.PasswordChange.as_view(), name="password-change"),
    path("password/reset/", views.PasswordReset.as_view(), name="password-reset"),
    path("password/reset/verify/", views.PasswordResetVerify.as_view(), name="password-reset-verify"),
    path("password/reset/confirm/", views.PasswordResetConfirm.as_view(), name="password-reset-confirm"),
]
