"""A write-up of jobs: a folder with writeup.md and pictures, from AWS, the emulator or folders.

`story.py` has what it says, `jobs.py` and `folders.py` find it, `page.py` writes it down.
matplotlib and the debugger are slow to import: `kennel writeup` imports this wing when it runs.
"""
