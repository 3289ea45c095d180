#!/usr/bin/env python
"""Django's command line for this project."""

import sys

from django.core.management import execute_from_command_line

import core.celery  # noqa: F401  (loads Django; ends the process in one sentence when a setting is wrong)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
