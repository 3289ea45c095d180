"""The Django project: settings, the Celery app, and which URL belongs to which app."""
