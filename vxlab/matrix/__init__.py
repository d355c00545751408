"""Scenarios on every kernel, with every iproute2, by every backend: the cells of one matrix.

job             what is to be run on one kernel; nothing but values
run_cells       the program that runs there: pytest once for each cell, from one warm Python
reports         what that program reports, and the JSON of it
target          a kernel to run on: local_target, guest_target; target_choice says which
job_file        what a target's program is given
time_limits     how long a machine, a cell and a scenario may take
cancellation    how all that runs is ended from outside
job_runner      a job from its first cell to its last, whatever happens to machines
events          what happens to cells, and the JSON of it
selection       what a run is to do
results_writer  events into the results file
executors       jobs side by side; cluster has those on the workers of a Dask cluster
run             all of that together
progress        what a person sees meanwhile
workflow        jobs for a public service, as a file that describes them
bisect          one kernel, one answer, as `git bisect run` wants it
"""
