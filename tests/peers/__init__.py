"""Foreign programs, and servers of our own that misbehave as told, really started on loopback.

Each module holds a context manager that starts one server at a free port over a folder of its own, waits until it
accepts, and stops it at the end. None of them needs pytest: `make demo`, the benchmarks and the crash programme use them too.
`fixtures` has one pytest fixture for each, started once per test process.
"""
