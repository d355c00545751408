"""Scenarios on every kernel, with every iproute2, by every backend: the cells of one table.

job        what is to be run on one kernel, and where; nothing but values
inside     runs there: pytest once for each cell, from one warm Python
places     a kernel to run on: this machine's own, or a virtual machine's
runner     a job from its first cell to its last, whatever happens to machines; tells events
run        jobs side by side, their events into the results file, progress, reports
progress   what a person sees meanwhile
cluster    jobs on the workers of a Dask cluster
workflow   jobs for a public service, as a file that describes them
bisect     one kernel, one answer, as `git bisect run` wants it
"""
