"""Testing workflows, and testing with Aether Protocol: public, for tests of one's own.

Law: importing this package loads nothing; the modules are loaded one by one, as they are asked for. `clock` has virtual
time (`ManualClock`, `pass_time`), `scripted` the executor that plays what a test says (`ScriptedExecutor`), `read` and `run`
the case runner behind `aether test`, `reports` its results as text and JUnit XML, `pytest_plugin` case files as pytest
tests, `contracts` the suites that adapters of a port have to pass.
"""
