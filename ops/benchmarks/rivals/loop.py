"""No queue and no record at all: render, build and send over one kept connection.

`python -m ops.benchmarks.rivals.loop FIRST COUNT`.
"""

import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "ops.benchmarks.rivals.settings"
os.environ["BENCHMARK_APP"] = "loop"
django.setup()

from django.core.mail import get_connection  # noqa: E402  (needs the set-up)

from ops.benchmarks.rivals import welcome  # noqa: E402


def main(first: int, count: int) -> None:
    """Send them all."""
    connection = get_connection()
    connection.open()
    for number in range(first, first + count):
        connection.send_messages([welcome.build(f"person{number}@example.com", f"Layla {number}")])
    connection.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
