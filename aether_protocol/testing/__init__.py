"""Testing workflows, and testing with Aether Protocol: public, for tests of one's own.

Law: importing this package loads nothing; the modules are loaded one by one, as they are asked for. `clock` has virtual
time (`ManualClock`, and `pass_time`, the one way to let it pass for engines), `scripted` the executor that plays what a test
says (`ScriptedExecutor`), `read` and `run` the case runner behind `aether test`, `harness` what outlives an engine that is
lost, `reports` results as text and JUnit XML, `pytest_plugin` case files as pytest tests, `contracts` the suites that adapters
of a port and clients have to pass, `simulation` random runs in a failing world.
"""
