"""Archives, opened in a process of their own by people who expect the worst of them.

The parent knows names, limits and files (magic, names, limits, reader); the child reads the bytes (start, child, zips, tars,
streams, others) and only tells what it finds (wire). It imports nothing but the standard library and these modules.
"""
