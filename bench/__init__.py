"""The same work, done by us and by others, side by side; `python -m bench --help`.

Whole processes are measured, from start to exit, in pairs A B A B after a warm-up; medians are told, and after each the
files that arrived are compared with the source by their hashes. Data lies in memory (/dev/shm), partners are on loopback.
Nothing here is a test: no clock makes `make test` fail.
"""

from __future__ import annotations
