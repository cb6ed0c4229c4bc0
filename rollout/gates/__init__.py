"""Whether a rollout may rise, must wait, or goes back: tests that may be looked at after every block of counters.

Everything here is a pure function of blocks and of a plan that is fixed when the rollout starts, without a clock and
without a cluster: the runner, the replay of a report and the tests share it. All tests are e-processes: under the null
the expectation is at most 1 at any stopping time, so that one may look as often as one likes (Ville's inequality).
"""
