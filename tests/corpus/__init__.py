"""Damaged and absurd files of every format the library reads: each is read right, or refused with its name and cause.

A case is a change of a good small file, with what must come of it declared beforehand. `formats` holds the good files,
`changes` the changes; the test modules are the tables of cases, and each run prints how many there were of each format.
"""
